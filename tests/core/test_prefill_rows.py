"""What the times of prefills say about the steps that computed them."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.interval import Interval
from kvwatch.core.step_rows import PrefillRows

PROMPT_TOKENS = 500.0


def interval(at: int, arrived: int, prefill_seconds: float) -> Interval:
    """A second in which so many prompts were computed, and their requests finished."""
    return Interval(
        start=float(at),
        end=at + 1.0,
        finished=float(arrived),
        steps=50.0,
        generation_tokens=500.0,
        prompt_tokens=PROMPT_TOKENS * arrived,
        prompt_tokens_computed=PROMPT_TOKENS * arrived,
        preemptions=0.0,
        inter_token_seconds=10.0,
        inter_tokens=500.0,
        first_tokens=float(arrived),
        prefill_seconds=prefill_seconds,
        lengths_count=float(arrived),
        lengths_prompt_tokens=PROMPT_TOKENS * arrived,
        lengths_output_tokens=100.0 * arrived,
        running=(10.0, 10.0),
        waiting=(0.0, 0.0),
        kv_usage_ratio=(0.2, 0.2),
    )


def weight_after(clump: int, seconds: int = 2000) -> float:
    """What the last row counts for, after requests have come in clumps of this size, one clump in two seconds."""
    draw, rows = random.Random(5), PrefillRows()
    row = None
    for at in range(seconds):
        clumps = sum(draw.random() < 0.05 for _ in range(10))
        arrived = clump * clumps
        # the prompts of a clump are computed in one step, which all of them wait for
        told = rows.read(interval(at, arrived, arrived * (0.02 + 1e-4 * PROMPT_TOKENS * clump)), 1e5, 8192)
        row = told or row
    assert row is not None
    return row.intervals


def test_prefills_of_a_poisson_stream_count_nearly_in_full() -> None:
    """Chance alone puts no more requests together than is accounted for."""
    assert weight_after(1) == pytest.approx(1.0, abs=0.3)


def test_load_that_begins_at_once_is_no_clump() -> None:
    """After an idle hour twenty requests a second come, evenly: within half a minute their prefills count in full."""
    rows, row = PrefillRows(), None
    for at in range(3630):
        arrived = 20 if at >= 3600 else 0
        row = rows.read(interval(at, arrived, arrived * 0.07), 1e5, 8192)
    assert row is not None
    assert row.intervals > 0.9


@pytest.mark.parametrize("clump", [2, 4, 8])
def test_prefills_of_requests_that_come_in_clumps_count_little(clump: int) -> None:
    """A prefill that is shared by a clump says nothing sure about one prompt's step: weight falls as 1/clump²."""
    assert weight_after(clump) == pytest.approx(1 / clump**2, rel=0.4)
