"""The clock advances steadily whatever happens to the wall clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.shell.clock import SLEW_RATIO, SteadyClock


class Hands:
    """A wall clock and a monotonic clock that are moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_750_000_000.0
        self.monotonic = 100.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def pass_time(self, seconds: float, wall_jump: float = 0.0) -> float:
        """Let time pass, with the wall clock set meanwhile; the time shown then."""
        self.monotonic += seconds
        self.wall += seconds + wall_jump
        return self.clock()


def test_it_shows_the_wall_clock_s_time() -> None:
    """Undisturbed, it is the wall clock."""
    hands = Hands()
    assert hands.clock() == 1_750_000_000.0
    assert hands.pass_time(12.5) == 1_750_000_012.5


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_wall_clock_bends_a_second_by_a_thousandth(jump: float) -> None:
    """Rates computed over the jump are right to 0.1%."""
    hands = Hands()
    before = hands.clock()
    assert hands.pass_time(1.0, wall_jump=jump) - before == pytest.approx(1.0, abs=SLEW_RATIO)


@pytest.mark.parametrize("jump", [2.0, -2.0])
def test_it_is_led_back_to_the_wall_clock(jump: float) -> None:
    """Two seconds are made up for within 2,000 seconds, and not overshot."""
    hands = Hands()
    hands.pass_time(1.0, wall_jump=jump)
    for _ in range(2001):
        hands.pass_time(1.0)
    assert hands.clock() == pytest.approx(hands.wall, abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1e5, 1e5)), max_size=30))
def test_it_never_goes_back(steps: list[tuple[float, float]]) -> None:
    """Whatever the wall clock does, time shown never falls, and moves by what has passed give or take 0.1%."""
    hands = Hands()
    last = hands.clock()
    for seconds, jump in steps:
        now = hands.pass_time(seconds, wall_jump=jump)
        assert abs(now - last - seconds) <= seconds * SLEW_RATIO + 1e-6
        last = now


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_it_knows_how_far_it_is_ahead_of_the_wall_clock(jump: float) -> None:
    """After a step of hours, by those, from the next moment on; before it, by nothing."""
    hands = Hands()
    hands.pass_time(1.0)
    assert hands.clock.ahead() == 0.0
    hands.pass_time(1.0, wall_jump=jump)
    assert hands.clock.ahead() == pytest.approx(-jump, abs=0.01)
    assert hands.clock.wall() == hands.wall


def test_a_difference_that_does_not_matter_is_none() -> None:
    """The clocks of two machines differ by some milliseconds always, and moving each fact by that costs time."""
    hands = Hands()
    hands.pass_time(1.0, wall_jump=0.05)
    assert hands.clock.ahead() == 0.0
