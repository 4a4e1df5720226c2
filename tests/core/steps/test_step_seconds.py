"""Which of cadence and latency is the step time of an interval, and what is made of many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_seconds import Cadence, StepTimes, step_seconds
from kvwatch.estimate import Reason
from tests.core.synthetic import START, SyntheticEngine

SAMPLE = SyntheticEngine([]).sample()


def interval(cadence: float = 0.02, latency: float | None = 0.02, at: float = START, **changes: object) -> Interval:
    """Two seconds of a busy engine with one step each ``cadence`` and 1,000 tokens ``latency`` after the one before."""
    found = Interval(
        start=at,
        end=at + 2,
        sample=SAMPLE,
        steps=2 / cadence,
        inter_tokens=None if latency is None else 1000.0,
        inter_token_seconds=None if latency is None else 1000 * latency,
        running=(5.0, 5.0),
        preemptions=0.0,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def read(*intervals: Interval) -> float | None:
    """Step time of the last of several intervals."""
    cadence = Cadence()
    for one in intervals:
        cadence.update(one)
    return cadence.step_seconds(intervals[-1])


def test_the_cadence_of_a_busy_engine_is_its_step_time() -> None:
    """Time over steps, to the digit; latency that is a little shorter is of other steps, not of idle time."""
    assert read(interval(0.02, 0.0195)) == pytest.approx(0.02)
    assert read(interval(0.02, 0.025)) == pytest.approx(0.02)
    assert read(interval(0.02, None)) == pytest.approx(0.02)


def test_where_the_engine_idled_the_latency_stands_in() -> None:
    """Empty at either end, or a cadence well above the latency; without latencies nothing is known then."""
    for running in ((0.0, 5.0), (5.0, 0.0), (None, 5.0)):
        assert read(interval(0.02, 0.015, running=running)) == pytest.approx(0.015)
        assert read(interval(0.02, None, running=running)) is None
    assert read(interval(0.02, 0.02 / 1.2)) == pytest.approx(0.02 / 1.2)
    assert read(interval(steps=0.0)) is None
    assert read(interval(steps=None)) is None


def test_steps_that_are_counted_twice_are_told_after_five_intervals() -> None:
    """Pipelines and several API servers count more steps than a request goes through: then the latency is its step."""
    twice = interval(0.02, 0.04)
    assert read(*[twice] * 4) == pytest.approx(0.02)
    assert read(*[twice] * 5) == pytest.approx(0.04)
    assert read(*[interval(0.02, 0.029)] * 20) == pytest.approx(0.02)


def test_an_engine_that_was_seen_to_step_singly_for_long_is_not_called_parallel_for_an_odd_minute() -> None:
    """What it is does not change; and evictions, which also make latencies long, are no sign of it."""
    plain, odd = [interval()] * 100, [interval(0.02, 0.04)] * 20
    assert read(*plain, *odd) == pytest.approx(0.02)
    assert read(*[interval(0.02, 0.04, preemptions=3.0)] * 20) == pytest.approx(0.02)


def kept(steps: list[float], window: float = 60.0, trim: float = 0.0) -> StepTimes:
    """Step times of intervals that followed each other."""
    times = StepTimes(window, trim)
    for number, seconds in enumerate(steps):
        times.update(interval(at=START + 2 * number, steps=100.0, step_seconds=seconds))
    return times


def test_mean_and_median_are_over_the_window_and_need_three_intervals() -> None:
    """Intervals weigh by their steps; what is older than the window does not count."""
    assert kept([0.02, 0.03]).get(START) is None
    found = kept([0.02, 0.03, 0.07]).get(START)
    assert found is not None
    assert (found.trimmed_mean, found.median, found.intervals) == (pytest.approx(0.04), pytest.approx(0.03), 3)
    recent = kept([0.5] * 50 + [0.02] * 30).get(START)
    assert recent is not None
    assert (recent.trimmed_mean, recent.intervals) == (pytest.approx(0.02), 30)


def test_the_trim_cuts_intervals_at_both_ends() -> None:
    """One stall in twenty leaves the mean where it was."""
    found = kept([0.02] * 19 + [5.0], trim=0.05).get(START)
    assert found is not None
    assert found.trimmed_mean == pytest.approx(0.02)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.REFUTED])
def test_steps_before_a_break_stay(cause: Cause) -> None:
    """They tell of the same hardware; an interval across the break tells nothing."""
    times = kept([0.02] * 5)
    times.begin_anew(cause)
    times.update(interval(at=START + 10, cause=cause, step_seconds=9.0))
    found = times.get(START)
    assert found is not None
    assert found.intervals == (5 if cause.changes_requests else 6)


def test_steps_that_were_counted_wrongly_do_not_stay() -> None:
    """What contradicts the steps says so of those before as well."""
    times = kept([0.02] * 5)
    times.begin_anew(Cause.REFUTED)
    assert times.get(START) is None


def test_the_answer_has_what_is_known() -> None:
    """Now and at full load; the verdict is on now."""
    answer = step_seconds(kept([0.02, 0.03, 0.07]).get(START), 0.09)
    assert answer.value == pytest.approx({"trimmed_mean": 0.04, "median": 0.03, "saturated": 0.09})
    assert answer.verdict is Reason.OK
    assert step_seconds(None, None).value == {}
    assert step_seconds(None, 0.09).verdict is Reason.NO_BUSY_INTERVALS
