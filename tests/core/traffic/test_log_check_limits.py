"""A log is held against the counters of the same time: how many more, and how much longer or shorter, refute it."""

from __future__ import annotations

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.log_check import LogCheck
from kvwatch.facts import EngineKey, EngineSample

SAMPLE = EngineSample(EngineKey("m", "0"))
BEGIN = 1_000_000.0
"""When the first interval begins [unix s]."""
WINDOW = 120.0
SECONDS = 100
"""Intervals of a second that both sides have seen."""


def second(number: int, finished: float | None = 1.0, **changes: object) -> Interval:
    """A second in which requests finished, of 200 prompt and 100 output tokens each."""
    known = finished or 0.0
    shown = {
        "sample": SAMPLE,
        "finished": finished,
        "lengths_count": known,
        "lengths_prompt_tokens": 200.0 * known,
        "lengths_output_tokens": 100.0 * known,
    }
    return Interval(start=BEGIN + number, end=BEGIN + number + 1, **(shown | changes))  # type: ignore[arg-type]


def check(
    logged: int, *, finished: float = 1.0, prompt: int = 200, output: int = 100, share: float = 1.0, first: float = 0.5
) -> LogCheck:
    """A hundred seconds of an engine, and as many requests of a log, from its ``first`` second on."""
    found = LogCheck(WINDOW)
    for number in range(SECONDS):
        found.update(second(number, finished))
    for number in range(logged):
        found.update_request(BEGIN + first + number % SECONDS, share, prompt, output)
    return found


@pytest.mark.parametrize(
    ("logged", "finished", "contradicts"),
    [(135, 1.0, False), (136, 1.0, True), (10, 0.0, False), (11, 0.0, True), (20, 1.0, False)],
)
def test_a_quarter_and_ten_requests_more_than_finished_are_too_many(
    logged: int, finished: float, contradicts: bool
) -> None:
    """Of a hundred 135 may be the edges of the window; fewer may be sampled or late."""
    assert check(logged, finished=finished).contradicts is contradicts


@pytest.mark.parametrize(
    ("prompt", "output", "contradicts"),
    [
        (300, 100, False),
        (302, 100, True),
        (134, 100, False),
        (133, 100, True),
        (200, 150, False),
        (200, 151, True),
        (200, 67, False),
        (200, 66, True),
    ],
)
def test_lengths_that_are_half_as_long_again_are_others(prompt: int, output: int, contradicts: bool) -> None:
    """Or by as much shorter, of prompts or of outputs."""
    assert check(50, prompt=prompt, output=output).contradicts is contradicts


@pytest.mark.parametrize(
    ("logged", "finished", "contradicts"), [(9, 1.0, False), (10, 1.0, True), (10, 0.09, False), (10, 0.101, True)]
)
def test_lengths_are_compared_from_ten_requests_on(logged: int, finished: float, contradicts: bool) -> None:
    """On both sides."""
    assert check(logged, finished=finished, prompt=2000).contradicts is contradicts


def test_a_share_of_a_request_counts_as_that_share() -> None:
    """Half of each of 270 is as many as finished may be off by; their lengths are those of the requests."""
    assert not check(270, share=0.5).contradicts
    assert check(272, share=0.5).contradicts
    assert check(40, share=0.5, prompt=302).contradicts


def test_only_the_time_that_both_have_seen_counts() -> None:
    """What the log shows from before the first interval is not held against it."""
    early = check(1000, first=-150.0)
    assert not early.contradicts
    assert not LogCheck(WINDOW).contradicts
    assert check(1000, first=0.0).contradicts


def test_after_the_window_what_was_logged_does_not_count_any_more() -> None:
    """Too many in the first second: two minutes later they are gone, and not before."""
    found = LogCheck(WINDOW)
    found.update(second(0))
    for _ in range(200):
        found.update_request(BEGIN + 0.5, 1.0, 200, 100)
    spells = []
    for number in range(1, 125):
        found.update(second(number, 0.0))
        spells.append(found.contradicts)
    assert spells.index(False) == WINDOW - 1
    assert not any(spells[int(WINDOW) - 1 :])


def test_a_break_begins_the_comparison_again() -> None:
    """Counters that began again say nothing of the requests before; those after it are held against the log."""
    found = check(200)
    assert found.contradicts
    found.update(second(SECONDS, cause=Cause.RESTART))
    assert not found.contradicts
    found.update(second(SECONDS + 1))
    assert not found.contradicts


def test_where_finished_requests_are_not_counted_those_of_known_lengths_are() -> None:
    """An older server has the histograms alone."""
    found = LogCheck(WINDOW)
    lengths = {"lengths_count": 1.0, "lengths_prompt_tokens": 200.0, "lengths_output_tokens": 100.0}
    for number in range(SECONDS):
        found.update(second(number, None, **lengths))
    for number in range(130):
        found.update_request(BEGIN + 0.5 + number % SECONDS, 1.0, 200, 100)
    assert not found.contradicts


def test_requests_that_finished_count_whose_lengths_no_histogram_has_yet() -> None:
    """The counter is ahead of the histograms where the two of them do not agree on a number."""
    found = LogCheck(WINDOW)
    for number in range(SECONDS):
        found.update(second(number, 2.0, lengths_count=1.0, lengths_prompt_tokens=200.0, lengths_output_tokens=100.0))
    for number in range(250):
        found.update_request(BEGIN + 0.5 + number % SECONDS, 1.0, 200, 100)
    assert not found.contradicts


def test_after_hours_a_log_is_still_held_against_the_counters() -> None:
    """What is older than the window makes room for what comes."""
    found = LogCheck(WINDOW)
    for number in range(1000):
        found.update(second(number))
        found.update_request(BEGIN + number + 0.5, 1.0, 200, 100)
    assert not found.contradicts
    for number in range(100):
        found.update_request(BEGIN + 999.5 - number % 10, 1.0, 200, 100)
    assert found.contradicts


def test_requests_of_any_time_do_not_fill_the_memory() -> None:
    """No more bins than two windows have seconds."""
    found = LogCheck(WINDOW)
    for number in range(10_000):
        found.update_request(BEGIN + number, 1.0, 200, 100)
    assert len(found._logged) == 2 * WINDOW
