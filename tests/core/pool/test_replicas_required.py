"""The number rises at once, falls late, never for what is not known, and says what made it higher."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.core.pool.evaluation import Times
from kvwatch.core.pool.need import Flow, Need, Replica, need
from kvwatch.core.pool.replicas_required import REASONS, Sizing, added

REPLICA = Replica(service_rate=5.0, target_utilization=0.8, scale_up_seconds=600.0)


def wanted(total: int, missing: int | None = None) -> Need:
    """A need of so many replicas, and with what is missing."""
    return Need(total, total, total, total, total if missing is None else missing, 0.0)


def run(totals: list[int], every: float = 15.0) -> list[float | None]:
    """The numbers for needs that are all valid."""
    sizing = Sizing(Times())
    return [sizing.update(every * place, wanted(total), valid=True) for place, total in enumerate(totals)]


@pytest.mark.parametrize(
    ("flow", "waiting", "expected"),
    [
        (Flow(10.0, 0.0), 0.0, Need(3, 3, 3, 3, 3, 0.0)),
        (Flow(12.0, 0.0), 0.0, Need(3, 3, 3, 3, 3, 0.0)),
        (Flow(12.0, 17.0), 0.0, Need(3, 5, 5, 5, 5, 0.0)),
        (Flow(10.0, 0.0, 0.01), 0.0, Need(3, 3, 5, 5, 5, 0.0)),  # 10 + 0.01 × 780
        (Flow(10.0, 0.0, 1.0), 0.0, Need(3, 3, 5, 5, 5, 0.0)),  # twice the load at most
        (Flow(10.0, 0.0), 3000.0, Need(3, 3, 3, 4, 4, 1.0)),  # 2.5 and 3000 / (5 × 600)
        (Flow(0.0, 0.0), 30.0, Need(0, 0, 0, 1, 1, 0.01)),
        (Flow(0.0, 0.0), 0.0, Need(0, 0, 0, 0, 0, 0.0)),
    ],
    ids=["load", "at the target", "surge", "trend", "steep", "backlog", "only a backlog", "idle"],
)
def test_the_need_is_the_load_and_what_comes_on_top(flow: Flow, waiting: float, expected: Need) -> None:
    """λ/(μ·target), and each reason with those before it."""
    assert need(flow, REPLICA, waiting=waiting, inside=waiting, missing_rate=0.0) == expected


def test_while_anything_runs_one_replica_is_needed() -> None:
    """Half an hour after the last arrival long answers are still being written, of a model whose μ is known or not."""
    for replica in (REPLICA, None):
        found = need(Flow(0.0, 0.0), replica, waiting=0.0, inside=2.0, missing_rate=0.0)
        assert found is not None
        assert (found.load, found.total) == (0, 1)


@pytest.mark.parametrize(("mean", "waiting"), [(1.0, 0.0), (0.0, 3.0)])
def test_requests_whose_cost_is_not_known_size_nothing(mean: float, waiting: float) -> None:
    """Without a μ there is no need, and no guess."""
    assert need(Flow(mean, mean), None, waiting=waiting, inside=waiting, missing_rate=0.0) is None


def test_the_first_number_comes_after_a_minute() -> None:
    """By then whoever adds up several kvwatch has seen them all."""
    assert run([3] * 6) == [None] * 4 + [3.0] * 2


def test_it_rises_at_once_and_falls_five_minutes_after_the_need() -> None:
    """Also in several steps, each five minutes after its own."""
    numbers = run([2] * 20 + [5] * 20 + [4] * 4 + [1] * 40)
    assert numbers[19:21] == [2.0, 5.0]
    # samples of the last 295 s: nineteen after the last of each
    assert numbers[39 + 19 : 39 + 21] == [5.0, 4.0]
    assert numbers[43 + 19 : 43 + 21] == [4.0, 1.0]


@given(st.lists(st.integers(0, 9), min_size=10, max_size=120))
def test_it_is_never_below_the_need_nor_above_the_highest_of_five_minutes(totals: list[int]) -> None:
    """Once it is there."""
    numbers = run(totals)
    for place, number in enumerate(numbers):
        if number is not None and all(n is not None for n in numbers[max(place - 20, 4) : place]):
            assert totals[place] <= number
            assert number <= max(totals[max(place - 19, 0) : place + 1]) or place < 24


def test_noise_about_a_whole_number_does_not_flap() -> None:
    """A need that wanders a few percent about 3 for an hour changes the number once at most."""
    needs = [3.0 + 0.12 * (-1) ** (t // 7) * ((t * 37) % 11) / 11 for t in range(240)]
    numbers = [n for n in run([4 if n > 3 else 3 for n in needs]) if n is not None]
    assert sum(a != b for a, b in pairwise(numbers)) <= 1


def test_what_is_missing_holds_the_number_and_does_not_raise_it() -> None:
    """A need of 2 that was 4 stays at 3 while what is not known had a replica's load, and is no 6 for what had more."""
    sizing = Sizing(Times())
    for place in range(20):
        sizing.update(15.0 * place, wanted(4), valid=True)
    held = [sizing.update(300.0 + 15 * place, wanted(2, 3), valid=True) for place in range(30)]
    assert held[0] == 4.0
    assert held[-1] == 3.0
    assert sizing.update(760.0, wanted(2, 6), valid=True) == 3.0


def test_without_a_majority_it_may_rise_does_not_fall_and_is_gone_after_ten_minutes() -> None:
    """It comes back with the first valid need after the gap, a minute late."""
    sizing = Sizing(Times())
    for place in range(20):
        sizing.update(15.0 * place, wanted(3), valid=True)
    assert sizing.update(300.0, wanted(1), valid=False) == 3.0
    assert sizing.update(315.0, wanted(5), valid=False) == 5.0
    numbers = {at: sizing.update(float(at), None, valid=False) for at in range(330, 3000, 15)}
    assert {numbers[at] for at in numbers if at <= 285 + 595} == {5.0}
    assert {numbers[at] for at in numbers if at > 285 + 595} == {None}
    again = [sizing.update(3000.0 + 15 * place, wanted(2), valid=True) for place in range(6)]
    assert again == [None] * 4 + [2.0] * 2


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=60))
def test_the_number_falls_only_on_a_valid_need(steps: list[tuple[int, bool]]) -> None:
    """Whatever the needs are, no number without a majority is below the one before it."""
    sizing = Sizing(Times())
    last: float | None = None
    for place, (total, valid) in enumerate(steps):
        number = sizing.update(15.0 * place, wanted(total), valid=valid)
        if not valid and number is not None:
            assert last is not None
            assert number >= last
        last = number if number is not None else last


@given(
    steps=st.tuples(*[st.integers(0, 5)] * 5),
    held=st.integers(0, 30),
    valid=st.booleans(),
)
def test_the_reasons_add_up_to_the_number(steps: tuple[int, ...], held: int, *, valid: bool) -> None:
    """⌈λ/(μ·target)⌉ and what each reason adds are the number, and no reason takes away."""
    load, surge, trend, total, missing = (sum(steps[: place + 1]) for place in range(5))
    found = Need(load, surge, trend, total, missing, 0.0)
    parts = added(float(total + held), found, valid=valid)
    assert tuple(parts) == REASONS
    assert all(part >= 0 for part in parts.values())
    assert load + sum(parts.values()) == total + held


def test_where_the_need_is_not_known_no_reason_is_given() -> None:
    """The number stands as it was."""
    assert added(4.0, None, valid=False) == {}
