"""Engines out of sight: how many may have traffic, and what they had."""

from __future__ import annotations

from kvwatch.core.pool.evaluation import Times
from kvwatch.core.pool.missing import Memory, Missing

UP = {"a": True, "b": True}


def test_an_engine_without_a_rate_has_its_last_one_for_an_hour() -> None:
    """It is in sight all the time, so that it is not gone."""
    memory = Memory(Times())
    memory.update(0.0, {("a", "0"): 3.0, ("b", "0"): 2.0}, UP)
    assert memory.update(15.0, {("a", "0"): None, ("b", "0"): 2.0}, UP) == Missing(0, 3.0)
    assert memory.update(3595.0, {("a", "0"): None, ("b", "0"): 2.0}, UP) == Missing(0, 3.0)
    assert memory.update(3600.0, {("a", "0"): None, ("b", "0"): 2.0}, UP) == Missing(0, 0.0)


def test_an_engine_out_of_sight_counts_for_ten_minutes_and_for_an_hour_while_its_target_does_not_answer() -> None:
    """A target that is taken off the list has none at once."""
    memory, down = Memory(Times()), {"a": False, "b": True}
    memory.update(0.0, {("a", "0"): 3.0, ("b", "0"): 2.0}, UP)
    rest = {("b", "0"): 2.0}
    assert memory.update(15.0, rest, UP) == Missing(1, 3.0)
    assert memory.update(610.0, rest, UP) == Missing(0, 0.0)
    assert memory.update(615.0, rest, down) == Missing(1, 3.0)
    assert memory.update(3590.0, rest, down) == Missing(1, 3.0)
    assert memory.update(3591.0, rest, {"b": True}) == Missing(0, 0.0)
    assert memory.update(3600.0, rest, down) == Missing(0, 0.0)


def test_an_engine_that_is_back_is_not_missing() -> None:
    """Its own λ counts again."""
    memory = Memory(Times())
    memory.update(0.0, {("a", "0"): 3.0}, UP)
    memory.update(15.0, {}, UP)
    assert memory.update(30.0, {("a", "0"): 4.0}, UP) == Missing(0, 0.0)
