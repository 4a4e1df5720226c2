"""Scrapes with a queue beside room in memory: which count, how many are enough, and how long they are kept."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.settings.queued import QueuedScrapes
from kvwatch.facts import EngineKey, EngineSample, Histogram, Settings

PROMPTS = Histogram((100.0, 500.0, inf), (3.0, 9.0, 9.0), 2000.0, 9.0)
"""No prompt was longer than 500 tokens."""
SAMPLE = EngineSample(EngineKey("m", "0"), waiting_capacity=3.0, request_prompt_tokens=PROMPTS)
CAPACITY = KvCapacity(10_000.0, 16, exact=True)
QUEUE = Interval(
    start=0.0,
    end=3.0,
    sample=SAMPLE,
    kv_capacity=CAPACITY,
    finished=2.0,
    steps=50.0,
    generation_tokens=500.0,
    prompt_tokens_computed=1000.0,
    preemptions=0.0,
    running=(10.0, 10.0),
    waiting=(3.0, 3.0),
    kv_usage_ratio=(0.5, 0.5),
)
"""Three seconds in which ten ran, three waited, two finished, and half of the memory was free."""


def at(i: int, seconds: float = 3.0, **changes: object) -> Interval:
    """The interval with a number, each as long, with something else about it."""
    return replace(QUEUE, start=i * seconds, end=(i + 1) * seconds, **changes)  # type: ignore[arg-type]


def shown(*intervals: Interval) -> int:
    """How many scrapes show a limit after these intervals."""
    scrapes = QueuedScrapes()
    for interval in intervals:
        scrapes.update(interval)
    return len(scrapes.newest())


@pytest.mark.parametrize(
    ("count", "seconds", "finished", "enough"),
    [
        (6, 4.0, 2.0, 0),
        (7, 4.0, 2.0, 7),
        (19, 1.0, 2.0, 0),
        (20, 1.0, 2.0, 20),
        (9, 4.0, 1.0, 0),
        (10, 4.0, 1.0, 10),
        (30, 4.0, 2.0, 7),
    ],
)
def test_seven_scrapes_twenty_seconds_and_ten_that_finished_show_a_limit(
    count: int, seconds: float, finished: float, enough: int
) -> None:
    """All three are asked for; of more than that the newest count."""
    assert shown(*(at(i, seconds, finished=finished) for i in range(count))) == enough


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"kv_usage_ratio": (0.5, 0.9)}, False),
        ({"kv_usage_ratio": (0.5, 0.899)}, True),
        ({"kv_usage_ratio": (0.5, -0.1)}, False),
        ({"kv_usage_ratio": (0.5, None)}, False),
        ({"kv_usage_ratio": (0.5, 0.0)}, True),
        ({"preemptions": 1.0}, False),
        ({"waiting": (0.0, 3.0)}, False),
        ({"waiting": (3.0, 0.0)}, False),
        ({"running": (10.0, 0.0)}, False),
        ({"steps": 0.0}, False),
        ({"finished": None}, False),
        ({"generation_tokens": None}, False),
        ({"cause": Cause.ABORTS}, False),
        ({"kv_capacity": None}, True),
    ],
)
def test_a_scrape_counts_where_requests_wait_beside_room_in_memory(changes: dict[str, object], counts: bool) -> None:
    """A tenth of the memory is free, none was evicted, and there is a queue at both ends."""
    scrapes = QueuedScrapes()
    assert scrapes.update(at(0, **changes)) is counts


@pytest.mark.parametrize(("tokens", "counts"), [(1032.0, True), (1031.0, False)])
def test_there_is_room_where_the_longest_prompt_and_a_block_would_fit(tokens: float, counts: bool) -> None:
    """Of half a memory of 1,032 tokens 516 are free: 500 and a block of 16."""
    assert QueuedScrapes().update(at(0, kv_capacity=replace(CAPACITY, tokens=tokens))) is counts


@pytest.mark.parametrize(
    ("cumulative", "longest"), [((0.0, 1.0, 1.0), 500.0), ((1.0, 1.0, 1.0), 100.0), ((0.0, 0.0, 0.0), 0.0)]
)
def test_one_request_is_enough_to_bound_the_prompts(cumulative: tuple[float, ...], longest: float) -> None:
    """By the edge of the bucket that it fell in; of no request nothing is known."""
    scrapes = QueuedScrapes()
    scrapes.update(at(0, sample=replace(SAMPLE, request_prompt_tokens=replace(PROMPTS, cumulative=cumulative))))
    assert scrapes.longest_prompt == longest


def test_the_longest_request_bounds_a_prompt_beyond_all_buckets() -> None:
    """The last bucket has no end; without a bound there may be room for no prompt."""
    endless = replace(SAMPLE, request_prompt_tokens=replace(PROMPTS, cumulative=(3.0, 9.0, 10.0)))
    unbounded, bounded = QueuedScrapes(), QueuedScrapes()
    assert not unbounded.update(at(0, sample=endless))
    assert unbounded.longest_prompt == 0.0
    assert bounded.update(at(0, sample=endless, settings=Settings(max_model_len=4096)))
    assert bounded.longest_prompt == 4096.0
    bounded.update(at(1, settings=Settings(max_model_len=4096)))
    assert bounded.longest_prompt == 500.0


@pytest.mark.parametrize(("full", "shows"), [(2, 8), (3, 0)])
def test_where_memory_has_no_room_at_more_than_a_fifth_of_the_scrapes_it_is_memory_that_binds(
    full: int, shows: int
) -> None:
    """Of ten two may be full: eight with room then show a limit."""
    crowded = [at(i, kv_usage_ratio=(0.95, 0.95)) for i in range(1, full + 1)]
    roomy = [at(i, finished=1.25) for i in range(full + 1, 10)]
    assert shown(at(0, finished=1.25), *crowded, *roomy) == shows


@pytest.mark.parametrize(("later", "kept"), [(582, 7), (583, 0)])
def test_a_queue_is_remembered_for_ten_minutes(later: int, kept: int) -> None:
    """The first of seven scrapes, three seconds apart, ends at 3 s; at 603 s and an interval it is forgotten."""
    first = [at(i) for i in range(6)]
    last = replace(QUEUE, start=18.0 + later, end=21.0 + later)
    assert shown(*first, last) == kept


def test_after_a_restart_nothing_that_was_seen_counts() -> None:
    """It was another process."""
    scrapes = QueuedScrapes()
    for i in range(7):
        scrapes.update(at(i))
    scrapes.begin_anew()
    assert scrapes.newest() == ()


def test_an_older_server_does_not_say_that_its_queue_is_not_deferred() -> None:
    """From 0.20 on it counts what waits for capacity apart."""
    scrapes = QueuedScrapes()
    for i in range(7):
        scrapes.update(at(i, sample=replace(SAMPLE, waiting_capacity=None)))
    assert all(q.may_be_deferred for q in scrapes.newest())
    assert scrapes.newest()[-1].computed_tokens == 1000.0
