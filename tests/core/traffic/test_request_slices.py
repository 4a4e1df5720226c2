"""Slices of requests: what they hold, and which dumped ones are refused."""

from __future__ import annotations

import pytest

from kvwatch.constants import MOST_TOKENS
from kvwatch.core.traffic.request_slices import Slice, restored

PAIRS = [[0.25, 100.0, 50.0, 2.0], [0.5, 200.0, 10.0, 0.0]]
ROW = [7, 3, 9000.0, 301.0, 61.0, PAIRS]
"""Slice 7: three requests, of which two are kept; the third has a token of each at least."""


def changed(place: int, value: object) -> list[object]:
    """The row with another number."""
    return [value if i == place else before for i, before in enumerate(ROW)]


def test_a_slice_without_requests_holds_nothing_and_two_hold_the_sum() -> None:
    """Not one token, not one request; joined with another it is that one."""
    empty = Slice()
    assert (empty.count, empty.demand, empty.prompt, empty.output, empty.kept) == (0, 0.0, 0.0, 0.0, [])
    one = Slice(2, 300.0, 30.0, 20.0, [(0.1, 10.0, 10.0, 1.0)])
    empty.join(one)
    empty.join(one)
    assert (empty.count, empty.demand, empty.prompt, empty.output) == (4, 600.0, 60.0, 40.0)
    assert len(empty.kept) == 2


def test_what_is_kept_are_those_with_the_smallest_numbers() -> None:
    """So that samples of two slices make one of both."""
    numbers = [0.5, 0.1, 0.9, 0.3]
    place = Slice(4, 4.0, 4.0, 4.0, [(number, 1.0, 1.0, 1.0) for number in numbers])
    assert [pair[0] for pair in place.sample(4)] == numbers
    assert [pair[0] for pair in place.sample(2)] == [0.1, 0.3]
    place.thin(3)
    assert [pair[0] for pair in place.kept] == [0.1, 0.3, 0.5]


def test_a_dumped_slice_is_taken_up_as_it_was() -> None:
    """Also at the edge of what can be: sums of as many tokens as there are at least, and as many pairs as fit."""
    found = restored([ROW], 1, 2)
    assert found == {7: Slice(3, 9000.0, 301.0, 61.0, [tuple(pair) for pair in PAIRS])}  # type: ignore[misc]
    assert restored([changed(2, 3.0)], 1, 2)[7].demand == 3.0
    assert restored([[1, 1, 1.0, 1.0, 1.0, [[0.0, 1.0, 1.0, 0.0]]]], 1, 1)[1].count == 1
    assert restored([], 0, 1) == {}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (changed(1, 0), "add up"),
        (changed(1, 1), "add up"),
        (changed(5, []), "add up"),
        (changed(5, [*PAIRS, PAIRS[0]]), "add up"),
        (changed(2, -1.0), "out of range"),
        (changed(3, float("nan")), "out of range"),
        (changed(2, 1e300), "out of range"),
        (changed(5, [[-0.1, 1.0, 1.0, 1.0]]), "out of range"),
        (changed(5, [[0.1, 0.0, 1.0, 1.0]]), "lengths"),
        (changed(5, [[0.1, 1.0, 0.0, 1.0]]), "lengths"),
        (changed(5, [[0.1, 2.0 * MOST_TOKENS, 1.0, 1.0]]), "lengths"),
        (changed(5, [[0.1, 1.0, 2.0 * MOST_TOKENS, 1.0]]), "lengths"),
        (changed(2, 2.9), "fewer requests"),
        (changed(3, 300.9), "fewer requests"),
        (changed(4, 60.9), "fewer requests"),
    ],
)
def test_a_slice_that_does_not_add_up_is_refused(row: list[object], said: str) -> None:
    """Three requests need three tokens of each kind at least, and those that are kept have theirs."""
    with pytest.raises(ValueError, match=said):
        restored([row], 1, 2)


@pytest.mark.parametrize("rows", [None, {}, [ROW, ROW]])
def test_what_is_no_list_of_as_many_slices_as_a_window_has_is_refused(rows: object) -> None:
    """One slice at most, here."""
    with pytest.raises(ValueError, match="not the slices"):
        restored(rows, 1, 2)
