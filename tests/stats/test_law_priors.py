"""What is known of a step law beforehand: each row of the prior is a standard normal of what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from kvwatch.stats.law_priors import prior_rows
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase

SHORTEST = 0.02
"""The shortest mean step seen [s]."""
FULL = np.array([100.0, 500.0, 1e5])
"""Sequences, prompt tokens and resident tokens of a full step."""
B0, BP, B1, B2, B3, LAST = range(6)
"""Places of the coefficients; the last is W of the experts, or R of a roofline."""

About = tuple[Mapping[int, float], float, float]
"""A sum of coefficients, by the factor of each, with its mean and its standard deviation."""


def prior(form: Hypothesis, theta: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The rows and targets of one form, of a law fitted before as ``theta``."""
    rows, targets = prior_rows([form], np.array([theta]), SHORTEST, FULL)
    return rows[0], targets[0]


def holds(form: Hypothesis, theta: Sequence[float], *abouts: About) -> None:
    """Each row, in the order of the coefficients, is (sum − mean) / deviation; no other coefficient is in it."""
    rows, targets = prior(form, theta)
    assert len(abouts) == len(rows)
    for row, target, (factors, mean, deviation) in zip(rows, targets, abouts, strict=True):
        wanted = np.zeros(6)
        for place, factor in factors.items():
            wanted[place] = factor / deviation
        assert row == pytest.approx(wanted)
        assert target == pytest.approx(mean / deviation)


def test_a_dense_law_with_visible_reading() -> None:
    """An empty step is 0.7 of the shortest seen, one with a prompt begins alike, and there are no experts.

    A full batch doubles it, as a full memory does; a prompt token is a 140th of it.
    """
    b0 = 0.015
    holds(
        Hypothesis(1.0, PromptBase.VISIBLE),
        (b0, 0.016, 1e-4, 2e-5, 1e-8, 0.0),
        ({B0: 1}, 0.7 * SHORTEST, 0.5 * SHORTEST),
        ({BP: 1, B0: -1}, 0.0, 0.15 * b0),
        ({B1: 100}, b0, 3 * b0),
        ({B2: 1}, 0.007 * b0, 0.6 * 0.007 * b0),
        ({B3: 1e5}, b0, 3 * b0),
        ({LAST: 1}, 0.0, 1e-6 * b0),
    )


def test_prompts_that_leave_the_graph_begin_with_some_readings_where_no_experts_show() -> None:
    """Four, give or take four."""
    b0 = 0.015
    rows, targets = prior(Hypothesis(1.0, PromptBase.EAGER), (b0, 0.1, 1e-4, 2e-5, 1e-8, 0.0))
    assert rows[BP, [B0, BP]] == pytest.approx([-1 / b0, 1 / (4 * b0)])
    assert targets[BP] == 0


@pytest.mark.parametrize(("base", "ratio", "spread"), [(PromptBase.VISIBLE, 1.0, 0.15), (PromptBase.EAGER, 2.5, 2.0)])
def test_a_mixture_is_measured_by_reading_all_of_it(base: PromptBase, ratio: float, spread: float) -> None:
    """b0 and W together, of which W is 0.65; steps with prompts take that, or 2.5 times it where they leave a graph."""
    b0, w = 0.008, 0.012
    whole = b0 + w
    holds(
        Hypothesis(1.0, base, shape=0.05),
        (b0, 0.02, 1e-4, 2e-5, 1e-8, w),
        ({B0: 1}, 0.7 * SHORTEST, 0.5 * SHORTEST),
        ({BP: 1, B0: -ratio, LAST: -ratio}, 0.0, spread * whole),
        ({B1: 1}, 0.003 * whole, 1.1 * 0.003 * whole),
        ({B2: 1}, 0.002 * whole, 1.2 * 0.002 * whole),
        ({B3: 1e5}, 0.5 * whole, 0.8 * 0.5 * whole),
        # W − 0.65·(b0 + W)
        ({LAST: 0.35, B0: -0.65}, 0.0, 0.2 * whole),
    )


def test_a_roofline_has_host_time_and_reading_and_no_base_of_prompts() -> None:
    """Both together are an empty step; the host's part is 0.3 of reading; prompts' own coefficients stay 0."""
    host, reading = 0.004, 0.012
    empty = host + reading
    holds(
        Hypothesis(1.0, PromptBase.ROOFLINE, balance=100.0),
        (host, 0.0, 1e-4, 0.0, 1e-8, reading),
        ({B0: 1, LAST: 1}, 0.7 * SHORTEST, 0.5 * SHORTEST),
        ({BP: 1}, 0.0, 1e-6 * empty),
        ({B1: 100}, empty, 3 * empty),
        ({B2: 1}, 0.0, 1e-6 * empty),
        ({B3: 1e5}, empty, 3 * empty),
        ({B0: 1, LAST: -0.3}, 0.0, 0.3 * empty),
    )


@pytest.mark.parametrize(
    "form", [Hypothesis(1.0, PromptBase.VISIBLE), Hypothesis(1.0, PromptBase.ROOFLINE, balance=100.0)]
)
def test_shares_of_an_empty_step_do_not_follow_a_fit_to_nothing(form: Hypothesis) -> None:
    """A fit that put b0, or b0 and R, at 0 leaves the prior where three tenths of the shortest step seen put it."""
    least = 0.3 * SHORTEST
    rows, targets = prior(form, (0.0, 0.01, 0.0, 1e-5, 0.0, 0.0))
    assert rows[B1, B1] == pytest.approx(100 / (3 * least))
    assert np.isfinite(rows).all()
    for same, wanted in zip(prior(form, (least, 0.01, 0.0, 1e-5, 0.0, 0.0)), (rows, targets), strict=True):
        assert same == pytest.approx(wanted)


def test_each_form_has_its_own_rows() -> None:
    """Many at once are the same as one by one."""
    forms = [
        Hypothesis(0.5, PromptBase.VISIBLE),
        Hypothesis(0.2, PromptBase.ROOFLINE, balance=60.0),
        Hypothesis(0.3, PromptBase.EAGER, shape=0.1),
    ]
    thetas = np.array([[0.01, 0.01, 1e-4, 1e-5, 1e-8, 0.0], [0.004, 0, 1e-4, 0, 1e-8, 0.01], [0.01] * 6])
    rows, targets = prior_rows(forms, thetas, SHORTEST, FULL)
    for form, theta, row, target in zip(forms, thetas, rows, targets, strict=True):
        alone = prior(form, theta.tolist())
        assert np.array_equal(row, alone[0])
        assert np.array_equal(target, alone[1])


def test_what_a_sequence_of_a_mixture_costs_does_not_depend_on_the_seats() -> None:
    """A prior that shares one growth among all seats would have 512 of them nearly free, and μ at light load twice."""
    form, theta = Hypothesis(1.0, PromptBase.VISIBLE, shape=0.05), np.array([(0.008, 0.02, 1e-4, 2e-5, 1e-8, 0.012)])
    few, many = (prior_rows([form], theta, SHORTEST, np.array([n, 300.0, 1e5]))[0][0] for n in (128.0, 512.0))
    assert few[B1] == pytest.approx(many[B1])
