"""What an overload teaches, how much of it is believed, and how long."""

from __future__ import annotations

from math import exp, log

import pytest

from kvwatch.core.capacity.calibration import Calibration

AT, HOUR = 1_800_000_000.0, 3600.0


def taught(observed: float, seconds: float = 3600.0) -> Calibration:
    """After a backlog in which the model said 10 requests a second."""
    calibration = Calibration()
    for second in range(0, int(seconds), 10):
        calibration.learn(AT + second - seconds, 10.0, 10.0, observed)
    return calibration


def test_half_of_a_gap_outlives_the_overload() -> None:
    """Its traffic may have been odd: 21% more observed, the model is raised by 10%; and the other way round."""
    assert taught(12.1).factor(AT) == pytest.approx(1.1, rel=1e-3)
    assert taught(10 / 1.21).factor(AT) == pytest.approx(1 / 1.1, rel=1e-3)
    assert taught(10.0).factor(AT) == 1


def test_no_more_than_a_quarter_outlives_it_whatever_was_observed() -> None:
    """A larger gap means something else than a scale."""
    assert taught(1000.0).factor(AT) == pytest.approx(1.25, rel=1e-3)
    assert taught(0.01).factor(AT) == pytest.approx(1 / 1.25, rel=1e-3)


def test_a_minute_of_overload_counts_by_two_thirds() -> None:
    """And a second next to nothing."""
    minute, second = Calibration(), Calibration()
    minute.learn(AT, 60.0, 10.0, 12.1)
    second.learn(AT, 1.0, 10.0, 12.1)
    assert log(minute.factor(AT)) == pytest.approx((1 - exp(-1)) * log(1.1))
    assert log(second.factor(AT)) == pytest.approx((1 - exp(-1 / 60)) * log(1.1))


def test_half_of_it_is_forgotten_in_six_hours() -> None:
    """And three quarters in twelve; a clock that goes back forgets nothing."""
    calibration = taught(12.1)
    start = log(calibration.factor(AT - 10))
    assert log(calibration.factor(AT - 10 + 6 * HOUR)) == pytest.approx(start / 2)
    assert log(calibration.factor(AT - 10 + 12 * HOUR)) == pytest.approx(start / 4)
    assert log(calibration.factor(AT - HOUR)) == pytest.approx(start)


def test_a_second_overload_goes_on_from_what_is_left_of_the_first() -> None:
    """It does not start from nothing."""
    calibration = taught(12.1)
    later = AT - 10 + 6 * HOUR
    left = log(calibration.factor(later))
    calibration.learn(later, 60.0, 10.0, 12.1)
    assert log(calibration.factor(later)) == pytest.approx(left + (1 - exp(-1)) * (log(1.1) - left))


@pytest.mark.parametrize("damage", [{"log_factor": 0.3}, {"at": -1.0}, {"at": 1e12}, {"log_factor": float("nan")}])
def test_a_damaged_state_is_refused(damage: dict[str, float]) -> None:
    """A factor beyond a quarter, or a time that is none."""
    with pytest.raises(ValueError, match="calibration"):
        Calibration().restore({"log_factor": 0.1, "at": AT, **damage})
