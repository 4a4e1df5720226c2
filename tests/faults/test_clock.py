"""A host whose clock is wrong when kvwatch starts, and is set right afterwards, or the other way round."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.facts import Iteration, RequestAborted, RequestRecord, RequestStarted, moved
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.daemon.conftest import models, run, vllm
from tests.daemon.test_traces import fresh, ingested, post, traced
from tests.faults.test_scrapes import RHO, UP, watched

HOURS = [7200.0, -7200.0]


@dataclass
class Host:
    """A host whose wall clock is off by so many seconds."""

    off: float

    def wall(self) -> float:
        """Its time of day."""
        return time.time() + self.off


class RecordingFleet(Fleet):
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.facts: list[object] = []

    def add(self, *_: object) -> None:
        """Nothing is watched."""

    def observe(self, _target: str, fact: object) -> None:
        """Remember it."""
        self.facts.append(fact)


@pytest.mark.parametrize("off", HOURS)
async def test_spans_are_taken_and_times_are_right_after_the_clock_was_set_right(off: float) -> None:
    """Two hours off at the start, right a moment later: spans that end now are not late, and the API shows the time."""
    host = Host(off)
    async with vllm() as server, run(lambda: traced(server.target), wall=host.wall) as kvwatch:
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        host.off = 0.0
        before = time.time()
        assert await post(kvwatch, fresh(1, 2)) == 200
        assert await ingested(kvwatch, server.target.name) == 2
        assert before - 1 <= float((await kvwatch.engines())["t"]) <= time.time() + 1  # type: ignore[arg-type]
        assert 'kvwatch_spans_total{result="late"} 0.0' in await kvwatch.metrics()
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])  # scrapes go on as if nothing had been


@pytest.mark.parametrize("off", HOURS)
async def test_a_request_reaches_the_core_in_the_core_s_own_time(off: float) -> None:
    """What a log or a trace stamps by the wall clock is moved by as much as the core's time is ahead of it."""
    fleet = RecordingFleet()
    intake = Intake(fleet, SelfMetrics(), lambda: off)
    intake.add("t", None)  # type: ignore[arg-type]
    facts = [
        RequestRecord(arrival=100.0, finish=103.0, prompt_tokens=1, completion_tokens=1, source="log"),
        RequestStarted(100.0),
        RequestAborted(101.0),
        Iteration(102.0, 1, 0, 0, 1, 1, 0.01),
    ]
    for fact in facts:
        intake.observe("t", fact)
    assert fleet.facts == [moved(fact, off) for fact in facts]
    assert [getattr(fact, "arrival", None) or fact.at for fact in fleet.facts] == [  # type: ignore[attr-defined]
        100.0 + off,
        100.0 + off,
        101.0 + off,
        102.0 + off,
    ]


async def test_a_clock_that_is_set_while_it_runs_bends_no_rate() -> None:
    """Two hours forth, back, two hours back, and right again: λ and ρ are what they were, and no target is stale."""
    host = Host(0.0)
    async with watched(host.wall) as found:
        for off in (*HOURS, 0.0):
            host.off = off
            # on a busy machine a scrape may be late for a moment, which is another reason to withhold
            page = await found.until(lambda page: RHO in page and UP in page, least_scrapes=15)
            shown = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(RHO)]
            assert all(0.3 < rho < 1.1 for rho in shown), shown  # it is 0.6; the windows are of seconds
