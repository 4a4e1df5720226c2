"""A made-up hour of two queues, of which every number is known."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.backtest.coarse import Cost
from kvwatch.backtest.coverage import Coverage
from kvwatch.backtest.incidents import Incident, QueueSpells, incidents
from kvwatch.backtest.judge import Alerting, pages, score
from kvwatch.backtest.report import Report, Side
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.timeline import CURVES, Model, Stretch, Timeline
from kvwatch.promql.labels import Array, labels_of

START = 1_760_000_000.0
STEP = 15.0
QWEN: Model = ("", "prod", "qwen", "")
LLAMA: Model = ("", "prod", "llama", "")


def minute(of: float) -> float:
    """A time of the made-up hours [unix s]."""
    return START + 60 * of


def span(start: float, end: float) -> Spell:
    """From one minute up to another."""
    return Spell(minute(start), minute(end))


def times(minutes: float = 180) -> Array:
    """All evaluations."""
    return START + STEP * np.arange(60 * minutes / STEP)


def waiting(*spells: tuple[float, float], most: float = 40.0, minutes: float = 180) -> Array:
    """A queue that is there in some spells [min], and highest in their middle."""
    at = times(minutes)
    values = np.zeros(len(at))
    for start, end in spells:
        share = (at - minute(start)) / (60 * (end - start))
        inside = (share >= 0) & (share < 1)
        values[inside] = np.maximum(most * (1 - np.abs(2 * share[inside] - 1)), 1)
    return values


def timeline(model: Model, queue: Array, engines: Array | None = None) -> Timeline:
    """A model's curves, with a load that follows its queue."""
    curves = {name: np.full(len(queue), np.nan) for name in CURVES}
    curves["waiting"] = queue
    curves["engines"] = np.full(len(queue), 2.0) if engines is None else engines
    curves["utilization"] = 0.7 + queue / 80
    curves["utilization_1m"] = 0.7 + queue / 80
    curves["utilization_lower"] = 0.6 + queue / 80
    curves["utilization_upper"] = 0.8 + queue / 80
    curves["ttft_p95"] = 0.2 + queue
    curves["kv_usage"] = np.minimum(0.5 + queue / 20, 1.0)
    return Timeline(model, times(len(queue) * STEP / 60), curves, {"kv": np.full(len(queue), 2.0)})


def queues_of(lines: dict[Model, Timeline]) -> QueueSpells:
    """The queues of models with one engine each, found in two stretches of time."""
    found = QueueSpells(STEP)
    for half in (0, 1):
        for model, line in lines.items():
            places = np.array_split(np.arange(len(line.at)), 2)[half]
            stretch = Stretch(line.at[places])
            labels = labels_of("kvwatch_queue_length", model_name=model[2], engine="0")
            stretch.queues.append((model, labels, line.curves["waiting"][places]))
            found.add(stretch)
    return found


def found_in(lines: dict[Model, Timeline], least_seconds: float = 120.0) -> list[Incident]:
    """The incidents of some models."""
    return incidents(queues_of(lines), lines, least_seconds, float(next(iter(lines.values())).at[-1]))


@pytest.fixture
def report() -> Report:
    """Two queues of one model and none of another; kvwatch before one of them, the user's rules after both."""
    lines = {QWEN: timeline(QWEN, waiting((60, 80), (120, 125))), LLAMA: timeline(LLAMA, waiting())}
    found = found_in(lines)
    end = minute(180)
    own = [
        Alerting("KvwatchSaturationApproaching", "critical", QWEN, span(54, 90)),
        Alerting("KvwatchOverloaded", "critical", QWEN, span(62, 80)),
        Alerting("KvwatchSaturationApproaching", "critical", LLAMA, span(20, 30)),
    ]
    yours = [
        Alerting("Waiting <10>", "page", QWEN, span(63, 80)),
        Alerting("Waiting <10>", "page", None, span(122, 126)),
    ]
    own_pages, your_pages = pages(own, found, lines, end), pages(yours, found, lines, end)
    return Report(
        source="the Prometheus at http://prometheus:9090",
        prometheus="http://prometheus:9090",
        span=Spell(START, end),
        queue_seconds=120.0,
        timelines=lines,
        incidents=tuple(found),
        own=Side("kvwatch", tuple(own_pages), score(own_pages, found)),
        yours=Side(
            "my <rules>.yaml",
            tuple(your_pages),
            score(your_pages, found),
            (Alerting("Slow", "warning", QWEN, span(60, 61)),),
            {"Waiting <10>": score(your_pages, found)},
            (("Broken", "nothing is kept of some_metric in that time"),),
        ),
        coverage=(
            Coverage("vllm-0:8000", 15.0, 720, 3, 1, [(START, START + 60)], 1, 60.0, START, end, 700, 650, 1, 2),
        ),
        costs=(Cost(15.0, 0.97, 0.02, 0.08, 15.0, 0.0),),
    )
