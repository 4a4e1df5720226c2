"""What an interval says of the queue, of sizes and of units."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from kvwatch.core.assumptions import Assumed, Assumptions
from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.units import in_units
from kvwatch.facts import EngineKey, EngineSample, Histogram, Settings

INTERVAL = Interval(start=0.0, end=1.0, sample=EngineSample(EngineKey("m", "0")))


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, False),
        ({"sample": replace(INTERVAL.sample, waiting_capacity=0.0)}, True),
        ({"settings": Settings(max_num_seqs=40), "running": (0.0, 36.0)}, True),
        ({"settings": Settings(max_num_seqs=40), "running": (40.0, 35.0)}, False),
        ({"running": (0.0, 1000.0)}, False),
        ({"settings": Settings(max_num_seqs=40), "running": (0.0, None)}, False),
        ({"kv_usage_ratio": (0.0, 0.9)}, True),
        ({"kv_usage_ratio": (1.0, 0.89)}, False),
    ],
)
def test_an_older_servers_queue_waits_for_capacity_where_seats_or_memory_are_all_but_taken(
    changes: dict[str, object], waits: bool
) -> None:
    """Nine tenths of what is known of them; a newer server says it itself."""
    assert replace(INTERVAL, **changes).waits_for_capacity is waits  # type: ignore[arg-type]


def test_what_is_known_of_a_setting_comes_before_what_is_assumed_and_that_before_a_default() -> None:
    """Of seats there is no default: nothing is known without either."""
    assumed = Assumptions(Assumed(256, 128, 1024, 1), Assumed(8192, 2048, 16_384, 512))
    assert (INTERVAL.seats, INTERVAL.budget_tokens, INTERVAL.sizes) == (None, None, (16, 2048))
    guessed = replace(INTERVAL, assumptions=assumed)
    assert (guessed.seats, guessed.budget_tokens, guessed.chunk_tokens) == (256, 8192, 8192)
    known = replace(guessed, settings=Settings(37, 512), kv_capacity=KvCapacity(1000.0, 32, exact=True))
    assert (known.seats, known.budget_tokens, known.sizes) == (37, 512, (32, 512))


@pytest.mark.parametrize(
    ("cause", "changes_requests", "begins", "goes_on"),
    [
        (None, None, False, True),
        (Cause.FIRST, True, True, False),
        (Cause.RESTART, True, True, False),
        (Cause.ABORTS, True, False, False),
        (Cause.UNIT, False, False, True),
        (Cause.CAPACITY, False, False, True),
    ],
)
def test_a_chain_breaks_where_those_inside_are_others(
    cause: Cause | None, changes_requests: bool | None, begins: bool, goes_on: bool
) -> None:
    """Not where only a scale is another one."""
    interval = replace(INTERVAL, cause=cause)
    assert (interval.begins, interval.goes_on) == (begins, goes_on)
    assert cause is None or cause.changes_requests is changes_requests


def test_in_units_of_what_a_step_makes_all_lengths_are_shorter_and_counts_are_as_they_were() -> None:
    """Four tokens a step; a block of 2 tokens is half a unit, and counts as one."""
    lengths = Histogram((8.0, inf), (3.0, 5.0), 60.0, 5.0)
    interval = replace(
        INTERVAL,
        unit_tokens=4.0,
        sample=replace(INTERVAL.sample, request_prompt_tokens=lengths, request_generation_tokens=None),
        kv_capacity=KvCapacity(4000.0, 2, exact=True),
        generation_tokens=40.0,
        prompt_tokens=80.0,
        lengths_count=5.0,
        lengths_prompt_tokens=60.0,
        lengths_output_tokens=20.0,
    )
    units = in_units(interval)
    assert units.sample.request_prompt_tokens == Histogram((2.0, inf), (3.0, 5.0), 15.0, 5.0)
    assert units.sample.request_generation_tokens is None
    assert units.kv_tokens == 1000.0
    assert (units.generation_tokens, units.prompt_tokens, units.prompt_tokens_computed) == (10.0, 20.0, None)
    assert (units.lengths_count, units.lengths_prompt_tokens, units.lengths_output_tokens) == (5.0, 15.0, 5.0)
    assert interval.sizes_in_units == (1, 512)
    assert in_units(replace(interval, unit_tokens=1.0)).kv_tokens == 4000.0
