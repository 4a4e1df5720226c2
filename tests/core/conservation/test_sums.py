"""The rises between two samples, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from kvwatch.core.conservation.sums import Sums, flow
from kvwatch.facts import EngineKey, EngineSample, Histogram

EDGES = (10.0, 20.0, 40.0, inf)
BEFORE = EngineSample(
    EngineKey("m", "0"),
    running=1.0,
    waiting=1.0,
    finished=100.0,
    prompt_tokens=1000.0,
    generation_tokens=500.0,
    steps=1000.0,
    inter_token_count=400.0,
    inter_token_seconds_sum=8.0,
    request_prompt_tokens=Histogram(EDGES, (1.0, 2.0, 2.0, 2.0), 25.0, 2.0),
)
NOW = replace(
    BEFORE,
    running=7.0,
    waiting=5.0,
    finished=103.0,
    prompt_tokens=1300.0,
    generation_tokens=560.0,
    steps=1020.0,
    inter_token_count=480.0,
    inter_token_seconds_sum=10.0,
    request_prompt_tokens=Histogram(EDGES, (2.0, 4.0, 5.0, 5.0), 75.0, 5.0),
)
SECONDS = 5.0


def test_each_rise_and_what_the_gauges_make_of_the_time() -> None:
    """80 tokens in 20 steps are 4 a step for 5 s; 2 s over 80 tokens make 20 steps half a second."""
    assert flow(SECONDS, BEFORE, NOW) == pytest.approx(
        {
            "seconds": 5.0,
            "finished": 3.0,
            "prompt_tokens": 300.0,
            "generation_tokens": 60.0,
            "steps": 20.0,
            "inter_token_count": 80.0,
            "inter_token_seconds_sum": 2.0,
            "prompts": 3.0,
            "prompt_lengths": 50.0,
            "prompt_least": 0 + 10 + 20,
            "prompt_most": 10 + 20 + 40,
            "stepped_seconds": 5.0,
            "batch_seconds": 80 / 20 * 5,
            "step_seconds": 20 * 2 / 80,
            "running_seconds": (1 + 7) / 2 * 5,
            "running_fall": 1.0 - 7.0,
            "busy_seconds": 5.0,
            "running_stepped_seconds": (1 + 7) / 2 * 5,
            "held_seconds": 1.25 * (1 + 7) / 2 * 5,
            "queued_seconds": 5.0,
            "bounded_seconds": 2.0,
        }
    )


def test_the_time_of_the_tokens_counts_for_no_more_than_four_times_those_that_run() -> None:
    """20 request-seconds run, a quarter more may be evicted: of a sum as long as the host's uptime 100 s are left.

    Those who wait have no token yet, and where evictions are counted and none was, nobody is evicted.
    """
    long = replace(NOW, inter_token_seconds_sum=1e6)
    assert flow(SECONDS, BEFORE, long)["bounded_seconds"] == pytest.approx(4 * 25)
    counted, crowded = replace(BEFORE, preemptions=3.0), replace(long, waiting=1e4)
    assert flow(SECONDS, counted, replace(long, preemptions=3.0))["held_seconds"] == pytest.approx(20)
    assert flow(SECONDS, counted, replace(long, preemptions=4.0))["held_seconds"] == pytest.approx(25)
    assert flow(SECONDS, BEFORE, crowded)["bounded_seconds"] == pytest.approx(4 * 25)
    few = replace(long, running=0.0, waiting=0.0)
    alone = replace(BEFORE, running=0.0, waiting=0.0)
    assert flow(SECONDS, alone, few)["bounded_seconds"] == pytest.approx(4 * 20)


def test_time_in_which_nothing_runs_or_no_step_ends_is_neither_busy_nor_stepped() -> None:
    """An engine that is busy at one of two scrapes was so half of the time; without steps no time is theirs."""
    assert flow(SECONDS, replace(BEFORE, running=0.0), replace(NOW, running=1.0))["busy_seconds"] == pytest.approx(2.5)
    assert flow(SECONDS, BEFORE, replace(NOW, running=0.0))["busy_seconds"] == pytest.approx(2.5)
    still = flow(SECONDS, BEFORE, replace(NOW, steps=1000.0))
    assert (still["steps"], still["stepped_seconds"], still["batch_seconds"]) == (0.0, 0.0, 0.0)
    assert still["running_stepped_seconds"] == 0.0
    silent = flow(SECONDS, BEFORE, replace(NOW, inter_token_count=400.0))
    assert silent["step_seconds"] == 0.0


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"finished": None}, {"finished"}),
        ({"finished": 99.0}, {"finished"}),
        ({"inter_token_count": None}, {"inter_token_count", "batch_seconds", "step_seconds", "bounded_seconds"}),
        ({"inter_token_seconds_sum": None}, {"inter_token_seconds_sum", "step_seconds", "bounded_seconds"}),
        ({"steps": None}, {"steps", "batch_seconds", "step_seconds", "bounded_seconds"}),
        ({"waiting": None}, {"held_seconds", "queued_seconds", "bounded_seconds"}),
        (
            {"running": None},
            {
                "running_seconds",
                "running_fall",
                "busy_seconds",
                "running_stepped_seconds",
                "held_seconds",
                "queued_seconds",
                "bounded_seconds",
            },
        ),
        ({"request_prompt_tokens": None}, {"prompts", "prompt_lengths", "prompt_least", "prompt_most"}),
        (
            {"request_prompt_tokens": Histogram((10.0, inf), (2.0, 5.0), 75.0, 5.0)},
            {"prompt_least", "prompt_most"},
        ),
        (
            {"request_prompt_tokens": Histogram(EDGES, (3.0, 3.0, 5.0, 5.0), 75.0, 5.0)},
            {"prompt_least", "prompt_most"},
        ),
    ],
)
def test_what_is_not_shown_or_falls_has_no_rise(changes: dict[str, object], gone: set[str]) -> None:
    """Other edges are another histogram, and one whose buckets fall is torn."""
    shown = flow(SECONDS, BEFORE, NOW)
    assert shown.keys() - flow(SECONDS, BEFORE, replace(NOW, **changes)).keys() == gone  # type: ignore[arg-type]
    if None in changes.values():
        before = replace(BEFORE, **changes)  # type: ignore[arg-type]
        assert shown.keys() - flow(SECONDS, before, NOW).keys() == gone


def test_a_sum_is_known_where_each_interval_shows_it() -> None:
    """And again from the beginning after all is forgotten."""
    sums = Sums(frozenset(("a", "b")))
    sums.add({"a": 1.0, "b": 2.0})
    sums.add({"a": 3.0})
    assert (sums.get("a"), sums.get("b"), sums.intervals) == (4.0, None, 2)
    assert sums.known("a", "b") == {"a": 4.0}
    sums.clear()
    assert (sums.get("a"), sums.get("b"), sums.intervals) == (0.0, 0.0, 0)


@pytest.mark.parametrize(("evicted", "waiting", "most"), [(3.0, 9.0, 3.0), (9.0, 3.0, 3.0), (0.0, 9.0, 0.0)])
def test_of_those_that_wait_no_more_were_evicted_than_ever_were(evicted: float, waiting: float, most: float) -> None:
    """And no more than wait."""
    before = replace(BEFORE, preemptions=evicted, waiting=waiting)
    assert flow(SECONDS, before, replace(NOW, preemptions=evicted))["evicted_waiting"] == most
