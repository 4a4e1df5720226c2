"""What a fitted law says: the mean over its parts, and how wide the parts, and the error of each, make it."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest

from kvwatch.stats.step_hypotheses import PromptBase
from kvwatch.stats.step_law_fit import LawFit, Part

AT = (100.0, 300.0, 1e5, 0.5)
"""Mean n, p, K and φ of some steps."""
BESIDE = (10.0, 300.0, 1e4, 0.5)
"""The same with a tenth of the sequences."""


def part(probability: float, seconds: float, *, shape: float = 0.0, sd: float = 0.0, slope: float = 0.0) -> Part:
    """A law of which each step takes as long, with ``slope`` more a sequence; its base is known to ``sd``."""
    covariance = np.zeros((6, 6))
    covariance[0, 0] = covariance[1, 1] = covariance[0, 1] = covariance[1, 0] = sd**2
    theta = np.array([seconds, seconds, slope, 0.0, 0.0, 0.0])
    return Part(probability, PromptBase.VISIBLE, shape, 0.0, theta, covariance)


def fit(*parts: Part) -> LawFit:
    """An average over parts."""
    return LawFit(parts, 0.02, 0.05, 100.0, (50.0, 300.0, 5e4))


def test_the_step_time_is_the_mean_of_logarithms() -> None:
    """A quarter of it 20 ms, the rest 40."""
    law = fit(part(0.25, 0.02), part(0.75, 0.04))
    assert law.seconds(AT) == pytest.approx(0.02**0.25 * 0.04**0.75)


def test_its_deviation_is_that_between_the_parts_and_within_each() -> None:
    """Of two that differ by log 2, each known to a tenth and a twentieth."""
    law = fit(part(0.25, 0.02, sd=0.002), part(0.75, 0.04, sd=0.002))
    between = 0.25 * 0.75 * log(2) ** 2
    within = 0.25 * 0.1**2 + 0.75 * 0.05**2
    assert law.relative_deviation(AT) == pytest.approx(sqrt(between + within))


def test_not_knowing_whether_there_are_experts_is_what_dense_and_mixed_parts_differ_by() -> None:
    """Three tenths dense at 20 and 30 ms, the rest mixtures at 40 and 80; parts of one kind leave nothing open."""
    dense = (part(0.1, 0.02), part(0.2, 0.03))
    mixed = (part(0.5, 0.04, shape=0.05), part(0.2, 0.08, shape=0.1))
    dense_mean = (log(0.02) + 2 * log(0.03)) / 3
    mixed_mean = (5 * log(0.04) + 2 * log(0.08)) / 7
    assert fit(*dense, *mixed).shape_deviation(AT) == pytest.approx(sqrt(0.3 * 0.7) * (mixed_mean - dense_mean))
    assert fit(part(0.5, 0.02), part(0.5, 0.04)).shape_deviation(AT) == 0.0
    assert fit(part(0.5, 0.02, shape=0.1), part(0.5, 0.04, shape=0.2)).shape_deviation(AT) == 0.0


def test_errors_that_both_step_times_share_cancel_in_their_ratio() -> None:
    """A base that is not known moves both alike; parts that differ by a factor agree on every ratio."""
    assert fit(part(1.0, 0.02, sd=0.002)).ratio_deviation(AT, BESIDE) == pytest.approx(0.0, abs=1e-12)
    assert fit(part(0.5, 0.02), part(0.5, 0.04)).ratio_deviation(AT, BESIDE) == pytest.approx(0.0, abs=1e-7)


def test_a_ratio_is_as_open_as_the_parts_disagree_on_it_and_as_what_is_in_one_only() -> None:
    """One part grows with the sequences: 30 over 21 ms; and a base of 20 ms is known to a tenth."""
    flat, steep = part(0.4, 0.02), part(0.6, 0.02, slope=1e-4, sd=0.002)
    apart = log(0.03 / 0.021)
    within = 0.6 * (0.002 / 0.03 - 0.002 / 0.021) ** 2
    assert fit(flat, steep).ratio_deviation(AT, BESIDE) == pytest.approx(sqrt(0.4 * 0.6 * apart**2 + within))


def test_how_sure_a_kind_is_is_the_sum_over_its_parts() -> None:
    """Experts, and how steps with prompts begin."""
    law = fit(part(0.1, 0.02), part(0.2, 0.03, shape=0.05), part(0.7, 0.03, shape=0.1))
    assert law.experts_probability == pytest.approx(0.9)
    assert law.probability_of(PromptBase.VISIBLE) == pytest.approx(1.0)
    assert law.probability_of(PromptBase.EAGER, PromptBase.ROOFLINE) == 0


def test_no_step_takes_less_than_its_arithmetic() -> None:
    """100 sequences and 300 prompt tokens at 50 µs each are 20 ms, whatever a base of 1 ms says."""
    theta = np.array([0.001, 0.001, 0.0, 5e-5, 0.0, 0.0])
    hidden = Part(1.0, PromptBase.VISIBLE, 0.0, 0.0, theta, np.zeros((6, 6)))
    assert hidden.seconds(AT) == pytest.approx(400 * 5e-5)
    assert hidden.seconds((0.0, 300.0, 0.0, 1.0)) == pytest.approx(0.001 + 300 * 5e-5)


@pytest.mark.parametrize(("share", "bases"), [(0.5, 0.5 * 0.004 + 0.5 * 0.03), (0.0, 0.004)])
def test_a_mixture_reads_the_experts_of_the_tokens_in_a_step(share: float, bases: float) -> None:
    """A step with prompts reads those of 40 sequences and 600 prompt tokens; its own base holds the whole of W."""
    theta = np.array([0.004, 0.03, 1e-4, 2e-5, 3e-8, 0.02])
    mixture = Part(1.0, PromptBase.EAGER, 0.01, 0.0, theta, np.zeros((6, 6)))
    p = 600 * share
    without, beside = 1 - 0.99**40, 1 - 0.99**640
    read = (1 - share) * 0.02 * without - share * 0.02 * (1 - beside)
    wanted = bases + 40 * 1e-4 + p * 2e-5 + 1e5 * 3e-8 + read
    assert mixture.seconds((40.0, p, 1e5, share)) == pytest.approx(wanted)


def test_a_roofline_takes_the_longer_of_reading_and_arithmetic() -> None:
    """Reading lasts as long as the arithmetic of 60 tokens: 120 sequences take twice as long, 40 no longer."""
    theta = np.array([0.002, 0.0, 1e-4, 0.0, 3e-8, 0.009])
    roofline = Part(1.0, PromptBase.ROOFLINE, 0.0, 60.0, theta, np.zeros((6, 6)))
    assert roofline.seconds((120.0, 0.0, 1e5, 0.0)) == pytest.approx(0.002 + 0.012 + 0.003 + 0.018)
    assert roofline.seconds((40.0, 0.0, 1e5, 0.0)) == pytest.approx(0.002 + 0.004 + 0.003 + 0.009)


def test_arithmetic_is_that_of_tokens_and_of_what_they_attend_to() -> None:
    """400 tokens at 50 µs and 10^5 resident ones at 100 ns are 30 ms."""
    theta = np.array([0.001, 0.001, 0.0, 5e-5, 1e-7, 0.0])
    assert Part(1.0, PromptBase.VISIBLE, 0.0, 0.0, theta, np.zeros((6, 6))).seconds(AT) == pytest.approx(0.03)


def test_parts_that_agree_leave_no_width_in_spite_of_rounding() -> None:
    """Nothing below 0 is drawn a root of."""
    law = fit(*(part(0.1, 0.02) for _ in range(10)))
    assert law.relative_deviation(AT) == pytest.approx(0.0, abs=1e-7)
    assert law.ratio_deviation(AT, BESIDE) == pytest.approx(0.0, abs=1e-7)


def test_in_other_units_the_law_is_the_same() -> None:
    """Prompts, memory and the machine's balance counted in fours: as long, and as unsure; sequences stay sequences."""
    theta = np.array([0.01, 0.012, 1e-4, 2e-5, 1e-8, 0.02])
    tokens = fit(Part(1.0, PromptBase.VISIBLE, 0.0, 120.0, theta, np.diag((theta / 10) ** 2)))
    units = tokens.in_units(4.0)
    assert units.seen == (50.0, 75.0, 12_500.0)
    assert units.parts[0].balance == 30.0
    dense, dense_units = (replace(law, parts=(replace(law.parts[0], balance=0.0),)) for law in (tokens, units))
    at = (100.0, 75.0, 25_000.0, 0.5)
    assert dense_units.seconds(at) == pytest.approx(dense.seconds(AT))
    assert dense_units.relative_deviation(at) == pytest.approx(dense.relative_deviation(AT))
