"""Tokens per second, held against a sum over all that was ever seen."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.token_rate import TokenRates
from tests.core.synthetic import START, SyntheticEngine

SAMPLE = SyntheticEngine([]).sample()
WINDOW = 60.0


def interval(
    start: float, end: float, prompt: float | None, output: float | None, cause: Cause | None = None
) -> Interval:
    """From one scrape to the next, in seconds after START."""
    return Interval(
        start=START + start,
        end=START + end,
        sample=SAMPLE,
        cause=cause,
        prompt_tokens=prompt,
        generation_tokens=output,
    )


def fed(*intervals: Interval) -> TokenRates:
    """After these."""
    rates = TokenRates(WINDOW)
    for one in intervals:
        rates.update(one)
    return rates


def test_each_kind_is_counted_over_the_last_minute() -> None:
    """What was before it does not count, and each kind has its own."""
    seconds = [interval(at, at + 1, 900.0 if at < 60 else 100.0, 5.0 if at < 60 else 7.0) for at in range(120)]
    assert fed(*seconds).get(START + 120) == {"prompt": pytest.approx(100.0), "output": pytest.approx(7.0)}


def test_scrapes_that_are_not_even_weigh_as_they_are_long() -> None:
    """As a sum over the intervals that end in the minute, after each of them."""
    source, seen, at = random.Random(3), [], 0.0
    rates = TokenRates(WINDOW)
    for _ in range(200):
        long = source.uniform(0.2, 9.0)
        seen.append(interval(at, at + long, source.uniform(0, 5000), source.uniform(0, 300)))
        at += long
        rates.update(seen[-1])
        recent = [one for one in seen if one.end > START + at - WINDOW]
        covered = sum(one.seconds for one in recent)
        expected = (
            {
                "prompt": sum(one.prompt_tokens or 0 for one in recent) / covered,
                "output": sum(one.generation_tokens or 0 for one in recent) / covered,
            }
            if covered >= WINDOW / 2
            else {}
        )
        assert rates.get(START + at) == pytest.approx(expected)


def test_less_than_half_a_minute_is_no_rate() -> None:
    """Neither of a new engine nor of a kind that is not shown any more."""
    assert fed(*[interval(at, at + 1, 1.0, 1.0) for at in range(29)]).get(START + 29) == {}
    assert set(fed(*[interval(at, at + 1, 1.0, 1.0) for at in range(30)]).get(START + 30)) == {"prompt", "output"}
    half = [interval(at, at + 1, 1.0 if at < 20 else None, 1.0) for at in range(60)]
    assert fed(*half).get(START + 60) == {"output": pytest.approx(1.0)}


def test_a_restart_begins_again_and_a_break_leaves_its_interval_out() -> None:
    """A process's tokens are its own; after a mass of aborts they are the same engine's."""
    rates = fed(*[interval(at, at + 1, 1.0, 1.0) for at in range(60)])
    rates.begin_anew(Cause.ABORTS)
    rates.update(interval(60, 61, 1e9, 1e9, Cause.ABORTS))
    assert rates.get(START + 61)["output"] == pytest.approx(1.0)
    rates.begin_anew(Cause.RESTART)
    assert rates.get(START + 61) == {}
