"""Latencies of the last minute: of that minute only, and of nobody where nobody was answered."""

from __future__ import annotations

from math import inf

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.latency import Latency
from kvwatch.facts import EngineKey, EngineSample, Histogram

EDGES = (0.1, 0.5, 1.0, inf)


def interval(at: float, *cumulative: float) -> Interval:
    """An interval that ends at ``at`` with this histogram of times to the first token."""
    histogram = Histogram(EDGES, cumulative, None, cumulative[-1])
    sample = EngineSample(EngineKey("m", "0"), first_token_seconds=histogram)
    return Interval(start=at - 1, end=at, sample=sample)


def test_the_latency_is_that_of_the_last_minute() -> None:
    """Quick for two minutes, then slow for one: slow."""
    latency = Latency(60.0)
    for second in range(120):
        latency.update(interval(second, second, second, second, second))
    assert latency.get(190.0)["ttft/0.95"] <= 0.1
    for second in range(120, 190):
        slow = second - 119
        latency.update(interval(second, 119, 119, 119 + slow, 119 + slow))
    assert 0.5 < latency.get(190.0)["ttft/0.5"] <= 1.0
    assert not any(key.startswith("itl") for key in latency.get(190.0))
    assert latency.buckets()["ttft/0.5"] == (0.5, 1.0)


def test_nobody_answered_is_no_latency() -> None:
    """Not the last one that was known, and not 0."""
    latency = Latency(60.0)
    assert latency.get(190.0) == {}
    for second in range(200):
        latency.update(interval(second, 5, 5, 5, 5))
    assert latency.get(190.0) == {}


@pytest.mark.parametrize(("cause", "kept"), [(Cause.RESTART, False), (Cause.ABORTS, True)])
def test_after_a_restart_it_begins_again(cause: Cause, kept: bool) -> None:
    """Counters of another process are not subtracted; those of a mass abort go on."""
    latency = Latency(60.0)
    latency.update(interval(0, 0, 0, 0, 0))
    latency.update(interval(10, 3, 3, 3, 3))
    latency.begin_anew(cause)
    latency.update(interval(11, 3, 3, 3, 3))
    assert bool(latency.get(190.0)) is kept
