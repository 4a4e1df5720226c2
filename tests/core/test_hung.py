"""An engine with requests inside that does not get on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.hung import Progress
from kvwatch.core.interval import Interval
from kvwatch.facts import EngineKey, EngineSample

STILL = EngineSample(EngineKey("m", "0"), running=3.0, waiting=0.0, steps=100.0, generation_tokens=300.0, finished=7.0)


def seen(sample: EngineSample, scrapes: int, every: float) -> Progress:
    """The same sample again and again, the first at 0."""
    progress = Progress()
    for i in range(scrapes):
        progress.update(Interval(start=every * (i - 1), end=every * i, sample=sample))
    return progress


@pytest.mark.parametrize(
    ("scrapes", "every", "hangs"), [(60, 1.0, False), (61, 1.0, True), (3, 60.0, False), (4, 60.0, True)]
)
def test_an_engine_hangs_after_a_minute_and_three_scrapes_without_progress(
    scrapes: int, every: float, hangs: bool
) -> None:
    """Counted from the first scrape that shows the same numbers."""
    assert seen(STILL, scrapes, every).get(0.0) is hangs


@pytest.mark.parametrize(
    ("changes", "hangs"),
    [
        ({"running": 0.0}, False),
        ({"running": None, "waiting": None}, False),
        ({"running": 0.0, "waiting": 1.0}, True),
        ({"running": 0.0, "waiting": None, "waiting_capacity": 1.0}, True),
        ({"running": None, "waiting": None, "waiting_deferred": 1.0}, True),
        ({"running": 0.0, "waiting_capacity": 0.0, "waiting_deferred": 0.0}, False),
        ({"steps": None, "generation_tokens": None, "finished": None}, False),
    ],
)
def test_whoever_waits_for_whatever_reason_is_inside(changes: dict[str, object], hangs: bool) -> None:
    """One that waits for a transfer hangs when it never comes; without a counter nothing is known."""
    assert seen(replace(STILL, **changes), 100, 1.0).get(0.0) is hangs  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "counter", ["steps", "generation_tokens", "prompt_tokens", "finished", "preemptions", "inter_token_count"]
)
def test_any_counter_that_moves_is_progress(counter: str) -> None:
    """The minute begins again there."""
    progress = seen(STILL, 100, 1.0)
    moved = replace(STILL, **{counter: 301.0})
    for i in range(100, 161):
        progress.update(Interval(start=i - 1.0, end=float(i), sample=moved))
        assert progress.get(0.0) is (i >= 160)


def test_who_came_in_a_moment_ago_does_not_hang() -> None:
    """However long the engine was empty before, with its counters as they are."""
    progress = seen(replace(STILL, running=0.0), 100, 1.0)
    progress.update(Interval(start=99.0, end=100.0, sample=STILL))
    assert not progress.get(0.0)
