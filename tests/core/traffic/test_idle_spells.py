"""Where the window of finished requests begins."""

from __future__ import annotations

from kvwatch.core.interval import Interval
from kvwatch.core.traffic.idle_spells import IdleSpells
from kvwatch.facts import EngineKey, EngineSample


def pauses(inside: str) -> IdleSpells:
    """Scrapes a second apart, ``.`` for an empty engine; the window is two minutes."""
    found = IdleSpells(120.0)
    for second, mark in enumerate(inside):
        sample = EngineSample(EngineKey("m", "0"), running=0.0 if mark == "." else 3.0, waiting=0.0)
        found.update(Interval(start=second - 1.0, end=float(second), sample=sample))
    return found


def test_a_window_begins_after_the_longest_pause() -> None:
    """Not after a shorter one, although that is later."""
    assert pauses("x" * 10 + "." * 6 + "x" * 20 + "." * 4 + "x" * 60).get(99.0) == 15.0


def test_gaps_of_light_traffic_are_no_pauses() -> None:
    """Two scrapes that find nobody may lie between any two requests."""
    assert pauses(("xxx..") * 20).get(99.0) is None


def test_a_pause_that_just_ended_is_too_near_to_begin_at() -> None:
    """Half a minute has to be left for the window."""
    assert pauses("x" * 60 + "." * 10 + "x" * 20).get(89.0) is None


def test_a_pause_is_forgotten_with_the_window() -> None:
    """Two minutes later it says nothing any more."""
    found = pauses("x" * 10 + "." * 6 + "x" * 125)
    assert found.get(130.0) == 15.0
    assert found.get(140.0) is None


def test_a_pause_that_still_lasts_begins_no_window() -> None:
    """Nothing has come after it yet."""
    assert pauses("x" * 60 + "." * 50).get(109.0) is None
