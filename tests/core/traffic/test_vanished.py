"""Requests that vanish without finishing, and requests that wait twice: λ straight from hand-made samples."""

from __future__ import annotations

import pytest

from kvwatch.core.reader import SampleReader
from kvwatch.core.traffic.arrival_rate import ArrivalRate, Arrivals
from kvwatch.facts import EngineKey, EngineSample

KEY = EngineKey("m", "0")


def rate(samples: list[EngineSample]) -> ArrivalRate:
    """λ over a minute after samples a second apart."""
    arrivals, reader = Arrivals({"1m": 60.0}), SampleReader()
    for second, sample in enumerate(samples):
        interval = reader.read(float(second), sample)
        assert interval is not None
        arrivals.update(interval)
    return arrivals.get(float(len(samples) - 1))["1m"]


def steady(vanish_at: int = 0, vanish: int = 0, preempted: int = 0) -> list[EngineSample]:
    """Two arrivals and two finishes a second, a hundred inside, of whom ``vanish`` leave at a second."""
    samples = []
    for second in range(70):
        gone = vanish if vanish and second >= vanish_at else 0
        waiting = preempted if second >= 40 else 0
        samples.append(
            EngineSample(
                KEY,
                running=100.0 - gone - waiting,
                waiting=float(waiting),
                finished=2.0 * second,
                first_token_count=2.0 * second + 100,
                preemptions=float(waiting),
            )
        )
    return samples


def test_a_few_that_vanish_at_once_are_added_back() -> None:
    """Eight of a hundred and twenty leave: they had arrived, so λ stays 2/s, and says that it is biased."""
    found = rate(steady(vanish_at=50, vanish=8))
    assert found.estimate.value == pytest.approx(2.0, rel=0.01)
    assert found.estimate.verdict == "abort_biased"


def test_many_that_vanish_at_once_leave_no_rate() -> None:
    """Half of those inside leave: what arrived in that instant cannot be told."""
    found = rate(steady(vanish_at=50, vanish=50))
    assert (found.estimate.value, found.estimate.verdict) == (None, "aborts")


def test_a_window_without_the_vanishing_is_sound_again() -> None:
    """Sixty seconds later nothing is left of it."""
    found = rate(steady(vanish_at=5, vanish=50))
    assert (found.estimate.value, found.estimate.verdict) == (2.0, "ok")


def test_preempted_requests_that_wait_again_are_not_counted_twice() -> None:
    """They have had a first token and are in the queue, which the second balance would take for aborted ones."""
    found = rate(steady(preempted=30))
    assert (found.estimate.value, found.estimate.verdict) == (2.0, "ok")
