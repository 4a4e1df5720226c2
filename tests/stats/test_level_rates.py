"""Whether more sequences at once bring fewer tokens a second, by levels whose rates are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.stats.level_rates import Level, fall
from kvwatch.stats.step_regression import StepRegression


def _level(sequences: float, rate: float, prompts_each: float = 2.0, intervals: float = 60.0) -> Level:
    """A level of that rate, with 4% of scatter from one interval to the next."""
    return Level(sequences, prompts_each * sequences, 1000 * sequences, sequences / rate, 0.04, intervals)


def test_a_rate_that_falls_is_found_with_what_fewer_gain() -> None:
    """512 sequences at 4,000 tokens/s against 128 at 5,000: a quarter more, surely."""
    found = fall([_level(64, 3500), _level(128, 5000), _level(256, 4600), _level(512, 4000)])
    assert found is not None
    assert (found.best.sequences, found.highest.sequences) == (128, 512)
    assert found.gain_ratio == pytest.approx(0.25)
    # by hand: 4%·√(2/60) of scatter and 2.5% of form, in two levels, at 90%
    deviation = (2 * ((0.04**2) * 2 / 60 + 0.025**2)) ** 0.5
    assert found.gain_lower == pytest.approx(0.25 - 1.645 * 1.25 * deviation, abs=1e-3)


def test_a_rate_that_rises_is_no_fall() -> None:
    """As where each level costs less for each sequence; with nothing seen there is nothing to say."""
    assert fall([_level(64, 3500), _level(128, 4000), _level(512, 4100)]) is None
    assert fall([]) is None


def test_a_small_fall_is_within_what_levels_differ_by_anyway() -> None:
    """Four percent more at the lower level: clocks and neighbours do that."""
    found = fall([_level(128, 4160), _level(512, 4000)])
    assert found is not None
    assert found.gain_lower < 0


def test_levels_of_other_traffic_or_of_a_moment_do_not_count() -> None:
    """Steps with hardly a prompt are faster whatever runs; nine intervals may be one burst."""
    slow = _level(512, 4000)
    assert fall([_level(128, 6000, prompts_each=0.2), slow]) is None
    assert fall([_level(128, 6000, intervals=9), slow]) is None
    assert fall([replace(slow, intervals=9), _level(128, 6000)]) is None


def test_a_regression_knows_its_levels() -> None:
    """Mean step of each number of sequences, and how much their rate scatters: not at all where it is the same."""
    law = StepRegression()
    for n, seconds in ((10.0, 0.02), (11.0, 0.022), (100.0, 0.1)):
        for _ in range(20):
            law.update((n, 2 * n, 50 * n, 0.1), seconds)
    levels = sorted(law.levels(), key=lambda level: level.sequences)
    assert [round(level.sequences, 1) for level in levels] == [10.5, 100.0]
    assert levels[0].rate == pytest.approx(500.0)
    assert levels[0].deviation == pytest.approx(0.0, abs=1e-6)
    assert levels[1].rate == pytest.approx(1000.0)
    assert (levels[1].prompt_tokens, levels[1].resident_tokens, levels[1].intervals) == (200.0, 5000.0, 20.0)
