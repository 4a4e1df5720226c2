"""Two servers of a model through calm, a ramp into overload, a queue that empties, and a metric that stops coming.

The engines are the embedded ones, whose scrapes are written as vLLM writes them and read as kvwatch reads them. Their
rate at full load is measured by keeping them full, so that a load is what it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS, Scenario, Stage
from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import FleetView

MODEL = "llama-3-8b"
EVALUATION_SECONDS = 15
"""Time between two evaluations of the rules, and two looks at everything else [s]."""
SCRAPE_SECONDS = 5
"""Of kvwatch [s]: a fifth of its default's cost; nothing here rests on how sharp its numbers are."""
STAGES = (
    Stage("const", 1200, 0.4, 0.4),
    Stage("ramp", 1200, 0.4, 1.3),
    Stage("const", 300, 1.3, 1.3),
    Stage("const", 1500, 0.25, 0.25),
)
ENDS = {"calm": 1200, "ramp": 2400, "overload": 2700, "drained": 3300, "invalid": 4200}
"""When each part of the story ends [s]."""
MISSING = "vllm:request_success_total"
"""What stops coming for the last part: finished requests, without which nobody knows how many arrive."""
_EPOCH = 1_750_000_000.0
_SLOWER = 4.0
"""Steps are so many times as long as the scenario's, so that an hour has few of them and costs some seconds."""


def _scenario() -> Scenario:
    """Twelve seats; loads are those of the stages."""
    base = SCENARIOS["seqcap"]
    slow = base.sped_up(1 / _SLOWER)
    return Scenario(slow.name, slow.summary, slow.settings, slow.lengths, STAGES, slow.law, slow.texture)


@cache
def story() -> tuple[tuple[int, FleetView], ...]:
    """What one kvwatch that watches both says at each evaluation, and when that is [s]."""
    return tuple(_told())


def _told() -> Iterator[tuple[int, FleetView]]:
    scenario = _scenario()
    engines = {f"10.0.0.{seed}:8000": scenario.engine(seed=seed) for seed in (7, 8)}
    readers = {name: ExpositionReader() for name in engines}
    fleet = Fleet(CoreOptions(scrape_interval_seconds=SCRAPE_SECONDS))
    seats = Settings(max_num_seqs=scenario.settings.max_num_seqs, source=SettingSource.CONFIG)
    for name in engines:
        fleet.add(name, seats)
    for at in range(SCRAPE_SECONDS, ENDS["invalid"] + 1, SCRAPE_SECONDS):
        for name, engine in engines.items():
            text = _exposition(engine, at)
            fleet.observe(name, readers[name].read(text.encode(), _EPOCH + at))
        if at % EVALUATION_SECONDS == 0:
            for name, key, run in fleet.take_due_runs(_EPOCH + at):
                fleet.correct(name, key, run.run())
            yield at, fleet.view(_EPOCH + at)


def _exposition(engine: Engine, at: float) -> str:
    engine.advance(at)
    engine.take_ended()
    text = render(engine, model_name=MODEL, engine_label="0", unix_offset=_EPOCH)
    if at <= ENDS["drained"]:
        return text
    return "\n".join(line for line in text.splitlines() if not line.startswith(MISSING)) + "\n"
