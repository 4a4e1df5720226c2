"""When a contradiction is judged, and when it ends: by what has been counted, in sums of a few intervals."""

from __future__ import annotations

import pytest

from kvwatch.core.conservation.requests_and_tokens import RequestsAndTokens
from kvwatch.core.conservation.work_and_time import WorkAndTime

FINISHED_TWICE = {"finished": 8.0, "prompts": 4.0, "outputs": 4.0, "first_token_count": 4.0}


def still(seconds: float) -> dict[str, float]:
    """An interval in which nothing is counted."""
    return {"seconds": seconds, "finished": 0.0, "prompts": 0.0, "outputs": 0.0, "first_token_count": 0.0}


def working(gauge: float, by_tokens: float) -> dict[str, float]:
    """A second of an engine that says ``gauge`` requests run, while its tokens say that it is ``by_tokens``."""
    return {
        "seconds": 1.0,
        "stepped_seconds": 1.0,
        "running_seconds": gauge,
        "running_stepped_seconds": gauge,
        "held_seconds": gauge,
        "queued_seconds": 0.0,
        "batch_seconds": by_tokens,
        "inter_token_seconds_sum": by_tokens,
        "bounded_seconds": by_tokens,
        "busy_seconds": 1.0,
        "step_seconds": 1.0,
        "steps": 50.0,
    }


def test_thirty_requests_in_eight_intervals_are_enough() -> None:
    """Eight a second: not in seven intervals, whatever their number, and then at once."""
    laws = RequestsAndTokens()
    for _ in range(7):
        laws.update({"seconds": 1.0, **FINISHED_TWICE})
        assert not laws.found
    laws.update({"seconds": 1.0, **FINISHED_TWICE})
    assert set(laws.found) == {"finished"}


def test_a_minute_in_which_nothing_is_counted_ends_a_contradiction() -> None:
    """Who is to be believed is judged from the beginning when requests come again; a pause below it changes nothing."""
    laws = RequestsAndTokens()
    for _ in range(10):
        laws.update({"seconds": 1.0, **FINISHED_TWICE})
    for _ in range(59):
        laws.update(still(1.0))
    assert set(laws.found) == {"finished"}
    laws.update(still(1.0))
    assert not laws.found
    for _ in range(7):
        laws.update({"seconds": 1.0, **FINISHED_TWICE})
    assert not laws.found


def test_a_pause_shorter_than_a_minute_does_not_add_up_with_another() -> None:
    """Two pauses of forty seconds with a request between them are not eighty."""
    laws = RequestsAndTokens()
    for _ in range(10):
        laws.update({"seconds": 1.0, **FINISHED_TWICE})
    for _ in range(2):
        for _ in range(40):
            laws.update(still(1.0))
        laws.update({"seconds": 1.0, **FINISHED_TWICE})
    assert set(laws.found) == {"finished"}


def test_a_gauge_of_half_of_those_that_run_is_refuted_within_a_minute_and_200_requests_seen() -> None:
    """Four by the gauge, eight by the tokens: of eight each second there are 200 after 25 s, and a minute after 60."""
    laws = WorkAndTime()
    for _ in range(59):
        laws.update(working(4.0, 8.0))
        assert not laws.found
    laws.update(working(4.0, 8.0))
    assert set(laws.found) == {"running"}


def test_where_few_run_it_takes_200_requests_seen() -> None:
    """One by the gauge, two by the tokens: a hundred seconds."""
    laws = WorkAndTime()
    for _ in range(99):
        laws.update(working(1.0, 2.0))
        assert not laws.found
    laws.update(working(1.0, 2.0))
    assert set(laws.found) == {"running"}


def test_a_mended_gauge_is_believed_once_the_sums_have_begun_again() -> None:
    """At twice the requests, intervals and seconds all is summed up again: then it takes as long as to refute it."""
    laws = WorkAndTime()
    for _ in range(199):
        laws.update(working(1.0, 2.0))
    assert set(laws.found) == {"running"}
    laws.update(working(1.0, 2.0))  # 400 are seen: the sums begin again
    for _ in range(199):
        laws.update(working(1.0, 1.0))
        assert set(laws.found) == {"running"}
    laws.update(working(1.0, 1.0))
    assert not laws.found


@pytest.mark.parametrize(
    ("seconds", "gauge", "tokens", "intervals"), [(1.0, 1.0, 3.0, 17), (1.0, 4.0, 12.0, 15), (10.0, 4.0, 12.0, 8)]
)
def test_a_third_of_those_that_run_is_refuted_by_fifty_seen_in_eight_intervals_and_fifteen_seconds(
    seconds: float, gauge: float, tokens: float, intervals: int
) -> None:
    """Three are seen each second, or twelve: what comes last decides."""
    laws = WorkAndTime()
    interval = {name: value * seconds if name != "steps" else value for name, value in working(gauge, tokens).items()}
    for _ in range(intervals - 1):
        laws.update(interval)
        assert not laws.found
    laws.update(interval)
    assert set(laws.found) == {"running"}


def test_an_engine_with_a_queue_steps_without_a_pause_however_few_run() -> None:
    """Four seats: where tokens in a step are as many, a time of half of that is wrong; without a queue it may pause."""
    for queued, expected in ((1.0, {"inter_token_seconds_sum"}), (0.0, set[str]())):
        laws = WorkAndTime()
        half = {"inter_token_seconds_sum": 2.0, "bounded_seconds": 2.0, "step_seconds": 0.5, "queued_seconds": queued}
        for _ in range(100):
            laws.update(working(4.0, 4.0) | half)
        assert set(laws.found) == expected
