"""Fuzzes the whole way of an export: bytes, decoder, intake, core. Nothing may raise, and memory may not grow.

    python -m tests.fuzz.otlp --seconds 600

Two engines take turns: hypothesis makes exports that are nearly right and damages them; atheris (pip install
'kvwatch[fuzz]') mutates bytes towards code that has not run yet. Without atheris the first has all the time.
"""

from __future__ import annotations

import asyncio
import random

from hypothesis import strategies as st

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineKey, EngineSample, Scrape, Settings
from kvwatch.parse.otlp.spans import AttributeKeys
from kvwatch.shell.intake import Intake
from kvwatch.shell.otlp.ingest import Outcome, Sender, TraceIntake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.fuzz.engines import Budget, command, drawn, guided
from tests.parse.otlp.exports import END, as_json, export, span

NOW = END / 10**9 + 1.0
DAMAGES = 20
"""Variants tried of each example, for making one takes hypothesis longer than reading twenty."""


class Target:
    """A receiver whose one target is known to a real core."""

    def __init__(self) -> None:
        self._metrics = SelfMetrics()
        intake = Intake(Fleet(CoreOptions()), self._metrics)
        intake.add("vllm", Settings(max_num_seqs=8))
        sample = EngineSample(EngineKey("m", "0"), running=1.0, waiting=0.0, finished=0.0)
        intake.observe("vllm", Scrape(NOW - 1.0, (sample,)))
        self._intake = intake
        keys = AttributeKeys("service.name", "enduser.id", "gen_ai.request.model")
        self._traces = TraceIntake(intake, self._metrics, keys=keys, max_spans_per_second=1e12, clock=lambda: NOW)
        self._traces.targets.follow({"vllm": "vllm"})
        self._loop = asyncio.new_event_loop()

    def take(self, body: bytes, *, json: bool) -> Outcome:
        """One export; raises where anything was wrong on the way."""
        before = self._count()
        outcome = self._loop.run_until_complete(self._traces.take(body, Sender("10.0.0.1"), json=json))
        assert not outcome.damaged or self._count() == before, "a damaged export was counted"
        samples = self._metrics.samples()
        faults = {labels: value for labels, value in samples["kvwatch_internal_errors_total"] if value}
        assert not faults, f"a fault was caught: {faults}"
        return outcome

    def view(self) -> None:
        """What the core makes of it all can still be said."""
        self._intake.view(NOW)
        self.take(b"", json=False)

    def _count(self) -> float:
        return sum(value for _, value in self._metrics.samples()["kvwatch_spans_total"])


WORDS = st.text(max_size=8)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 5000), st.floats(), WORDS)
NAMES = st.sampled_from(
    ["gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "enduser.id", "gen_ai.request.model", "other"]
)
IDS = st.binary(min_size=16, max_size=16)
STAMPS = st.one_of(st.integers(END - 10**13, END + 10**13), st.integers(0, 2**64 - 1))


@st.composite
def exports(draw: st.DrawFn) -> tuple[bytes, bool]:
    """An export in either encoding, of values of any kind."""
    spans = [
        span(
            number,
            draw(st.dictionaries(NAMES, VALUES, max_size=3)),
            trace_id=draw(IDS),
            end_time_unix_nano=draw(STAMPS),
            name=draw(st.sampled_from(["llm_request", "llm_request", "other"])),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    request = export(*spans, resource=draw(st.dictionaries(NAMES, VALUES, max_size=2)))
    json = draw(st.booleans())
    return as_json(request) if json else request.SerializeToString(), json


def damaged(body: bytes, chance: random.Random) -> bytes:
    """The body with a few of its bytes replaced, removed, added or said twice."""
    for _ in range(chance.randint(1, 3)):
        at, width = chance.randint(0, len(body)), chance.choice([0, 0, 1, 1, 2, 8, 40])
        more = chance.choice([b"", chance.randbytes(chance.randint(1, 8)), body[at : at + width] * 2])
        body = body[:at] + more + body[at + width :]
    return body


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""
    target = Target()

    def attempt(example: tuple[tuple[bytes, bool], int]) -> int:
        (body, json), number = example
        chance = random.Random(number)
        for each in (body, *(damaged(body, chance) for _ in range(DAMAGES))):
            target.take(each, json=json)
        return 1 + DAMAGES

    bodies = st.one_of(exports(), st.tuples(st.binary(max_size=400), st.booleans()))
    return drawn(seconds, st.tuples(bodies, st.integers(0, 2**32)), attempt, "exports", between=target.view)


def run_atheris(budget: Budget) -> None:
    """Coverage-guided, from one export in each encoding."""
    target = Target()

    def one(data: bytes) -> None:
        target.take(data[1:], json=bool(data[:1] < b"\x80"))

    good = export(span(1), span(2, {"enduser.id": "me"}, name="other"), resource={"service.name": "vllm"})
    seeds = (b"\xff" + good.SerializeToString(), b"\x00" + as_json(good))
    guided(one, seeds, ("kvwatch.parse.otlp", "kvwatch.shell.otlp"), budget)


if __name__ == "__main__":
    command("tests.fuzz.otlp", __doc__, run_hypothesis, run_atheris)
