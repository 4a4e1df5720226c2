"""Bounds on senders: the rate over any stretch, the bytes at a time, and the memory of what has come."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.shell.otlp.limits import KEPT_SPANS, BusyError, ByteBudget, SeenSpans, SpanRate


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 500)), max_size=60))
def test_over_any_time_no_more_gets_through_than_the_rate_allows(offers: list[tuple[float, int]]) -> None:
    """Before each export that is let in, all before it fit into rate x (time + 1 s): what is over is one export."""
    rate = SpanRate(100.0)
    now = taken = 0.0
    for pause, spans in offers:
        now += pause
        if rate.wait_seconds(now) == 0:
            assert taken <= 100.0 * (now + 1.0) + 1e-6
            rate.charge(spans)
            taken += spans


@given(st.integers(1, 10_000))
def test_the_wait_is_as_long_as_it_says(spans: int) -> None:
    """After it an export is let in, just before it is not."""
    rate = SpanRate(100.0)
    assert rate.wait_seconds(5.0) == 0
    rate.charge(spans)
    wait = rate.wait_seconds(5.0)
    assert wait == pytest.approx(max(0.0, spans / 100.0 - 1.0))
    if wait > 0:
        assert rate.wait_seconds(5.0 + wait * 0.99) > 0
        assert rate.wait_seconds(5.0 + wait * 1.000001) == 0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Neither credit nor debt."""
    rate = SpanRate(1.0)
    rate.wait_seconds(100.0)
    rate.charge(10)
    assert rate.wait_seconds(50.0) == pytest.approx(9.0)


def test_bytes_are_given_back_whatever_happens() -> None:
    """After an error as after success; what does not fit is refused and costs nothing."""
    budget = ByteBudget(100)
    with budget.share() as first, budget.share() as second:
        first.take(60)
        with pytest.raises(BusyError):
            second.take(41)
        second.take(40)
    with pytest.raises(ZeroDivisionError), budget.share() as share:
        share.take(100)
        raise ZeroDivisionError
    with budget.share() as share:
        share.take(100)


def test_the_last_spans_are_remembered_and_no_more_than_twice_as_many() -> None:
    """A repeat within the promised reach is always seen; far beyond it, it is new again."""
    seen = SeenSpans(size=10)
    for number in range(1000):
        assert seen.add(number.to_bytes(24, "big"))
        for back in range(max(0, number - 9), number + 1):
            assert not seen.add(back.to_bytes(24, "big"))
    assert seen.add((1000 - 30).to_bytes(24, "big"))


def test_the_newest_spans_are_known_to_the_next_process() -> None:
    """As plain data, no more of them than is promised, and nothing is taken from what is damaged."""
    seen = SeenSpans()
    for number in range(KEPT_SPANS + 10):
        seen.add(number.to_bytes(24, "big"))
    after = SeenSpans()
    after.restore(json.loads(json.dumps(seen.dump())))
    assert after.dump() == seen.dump()
    assert [number for number in range(KEPT_SPANS + 10) if after.add(number.to_bytes(24, "big"))] == list(range(10))
    for damaged in ({"newest": "00" * 25}, {"newest": "x"}, {"newest": 7}):
        fresh = SeenSpans()
        with pytest.raises((ValueError, TypeError)):
            fresh.restore(damaged)
        assert fresh.add(bytes(24))
    after = SeenSpans()
    after.restore({})
    assert after.dump() == SeenSpans().dump()


def test_memory_for_repeats_is_bounded() -> None:
    """Ten times as many spans leave no more behind than twice the size."""
    seen = SeenSpans(size=3_000)
    tracemalloc.start()
    try:
        sizes = []
        for block in range(10):
            for number in range(3_000):
                seen.add((block * 3_000 + number).to_bytes(24, "big"))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(sizes[2:]) <= max(sizes[:3]) * 1.05
