"""Steps that are counted several times are told from those of an engine with pauses, and counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.reader import SampleReader
from kvwatch.core.steps.step_counts import StepCounts
from tests.core.synthetic import START, SyntheticEngine, Watch, poisson

SECONDS = 300


def counted(times: float, rate: float, every: int = 1) -> float:
    """How many times each step is found to be counted, of an engine with so many arrivals a second."""
    engine, reader, counts = SyntheticEngine(poisson(rate, 4 * SECONDS)), SampleReader(), StepCounts()
    for second in range(0, SECONDS * every, every):
        engine.advance(START + second)
        sample = engine.sample()
        interval = reader.read(START + second, replace(sample, steps=times * (sample.steps or 0.0)))
        if interval is not None and interval.steps is not None:
            # as it was before the reader counted it once
            counts.update(replace(interval, steps=interval.steps * reader.step_counts.times))
    return counts.times


@pytest.mark.parametrize("rate", [0.8, 3.0, 10.0])
@pytest.mark.parametrize("times", [2, 3, 8])
def test_several_counts_of_a_step_are_found_whatever_the_load(times: int, rate: float) -> None:
    """To a fifth; a quiet engine's pauses hide none. Of the time with requests the scrapes are a sample."""
    assert counted(times, rate) == pytest.approx(times, rel=0.2)


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("rate", [0.1, 0.8, 3.0, 10.0])
def test_an_engine_that_counts_each_step_once_is_not_corrected(rate: float, every: int) -> None:
    """Idle nine tenths of the time or never, scraped each second or seldom."""
    assert counted(1, rate, every) == 1.0


@pytest.mark.parametrize("rate", [0.8, 10.0])
def test_the_service_rate_is_as_right_as_with_single_counts(rate: float) -> None:
    """Quiet and busy; what was learnt before is forgotten, so that less is known: one is in the other's interval."""
    once, twice = (
        Watch(SyntheticEngine(poisson(rate, SECONDS)), show=lambda s, k=k: replace(s, steps=k * (s.steps or 0.0))).run(
            SECONDS
        )
        for k in (1, 2)
    )
    assert twice.step_seconds.value["trimmed_mean"] == pytest.approx(once.step_seconds.value["trimmed_mean"], rel=0.05)
    assert twice.service_rate.lower < once.service_rate.value < twice.service_rate.upper
