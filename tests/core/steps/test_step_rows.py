"""What the times of prefills say about the steps that computed them."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import mean

import pytest

from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_rows import PrefillRows, window_seconds
from kvwatch.facts import EngineKey, EngineSample

PROMPT_TOKENS, BUDGET_TOKENS = 500.0, 65_536


def interval(at: int, arrived: int, prefill_seconds: float) -> Interval:
    """A second in which so many prompts were computed, and their requests finished."""
    return Interval(
        start=float(at),
        end=at + 1.0,
        sample=EngineSample(EngineKey("m", "0")),
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
    """What a row of two clumps counts for, after requests have come in clumps of this size, one in two seconds."""
    draw, rows = random.Random(5), PrefillRows()
    weights = []
    for at in range(seconds):
        clumps = sum(draw.random() < 0.05 for _ in range(10))
        arrived = clump * clumps
        # the prompts of a clump are computed in one step, which all of them wait for
        told = rows.read(interval(at, arrived, arrived * (0.02 + 1e-4 * PROMPT_TOKENS * clump)), 1e5, BUDGET_TOKENS)
        if told is not None and at >= seconds / 2:
            weights.append(told.intervals)
    return mean(weights)


def test_prefills_of_a_poisson_stream_count_nearly_in_full() -> None:
    """Chance alone puts no more requests together than is accounted for."""
    assert weight_after(1) == pytest.approx(1.0, abs=0.3)


def test_load_that_begins_at_once_is_no_clump() -> None:
    """After an idle hour twenty requests a second come, evenly: within half a minute their prefills count in full."""
    rows, row = PrefillRows(), None
    for at in range(3630):
        arrived = 20 if at >= 3600 else 0
        row = rows.read(interval(at, arrived, arrived * 0.07), 1e5, BUDGET_TOKENS)
    assert row is not None
    assert row.intervals > 0.9


@pytest.mark.parametrize("clump", [2, 4, 8])
def test_prefills_of_requests_that_come_in_clumps_count_little(clump: int) -> None:
    """A prefill that is shared by a clump says nothing sure about one prompt's step: weight falls as 1/clump²."""
    assert weight_after(clump) == pytest.approx(1 / clump**2, rel=0.4)


def test_a_row_weighs_by_its_requests() -> None:
    """Thirty requests that ended together say three times as much as the usual ten."""
    rows = PrefillRows()
    usual = [rows.read(interval(at, 10, 0.7), 1e5, BUDGET_TOKENS) for at in range(100)][-1]
    many = rows.read(interval(100, 30, 2.1), 1e5, BUDGET_TOKENS)
    assert usual is not None
    assert many is not None
    assert usual.intervals == pytest.approx(1, rel=0.05)
    assert many.intervals > 1.5 * usual.intervals


@pytest.mark.parametrize("rate", [1.0, 4.0, 12.0])
def test_others_are_those_who_came_during_the_step_under_way(rate: float) -> None:
    """Simulated step by step: who arrives waits for the end of a step that is met the more likely the longer it is."""
    draw = random.Random(7)
    arrivals, at = [], 0.0
    while len(arrivals) < 12_000:
        at += draw.expovariate(rate)
        arrivals.append(at)
    short, long, now, steps, seen, position = 0.02, 0.08, 0.0, 0, 0.0, 0
    while position < len(arrivals):
        came = 0
        while position < len(arrivals) and arrivals[position] <= now:
            came, position = came + 1, position + 1
        now += long if came else short
        steps += 1
        seen += came * (came - 1)
    mean_steps = replace(
        interval(0, 0, 0.0), end=now, steps=float(steps), inter_token_seconds=now, inter_tokens=float(steps)
    )
    companions = seen / len(arrivals)
    window = window_seconds(mean_steps, float(len(arrivals)), long, now / steps)
    assert rate * window == pytest.approx(companions, rel=0.15)


def test_an_idle_engine_lets_nobody_gather() -> None:
    """A request in ten seconds meets steps of 20 ms only while another one is there."""
    idle = replace(interval(0, 1, 0.07), end=10.0, steps=100.0, inter_token_seconds=1.98, inter_tokens=99.0)
    assert window_seconds(idle, 1.0, 0.07, 0.02) < 0.005
