"""Coefficients within their constraints: of all that satisfy them, those that fit best, found by trying all sets."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
import pytest

from kvwatch.stats import law_solution
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase

Array = npt.NDArray[np.float64]
DENSE = Hypothesis(1.0, PromptBase.VISIBLE)
ROOFLINE = Hypothesis(1.0, PromptBase.ROOFLINE, balance=100.0)
MIXTURE = Hypothesis(1.0, PromptBase.VISIBLE, shape=0.05)
EAGER = Hypothesis(1.0, PromptBase.EAGER)
PLAIN = np.eye(6)
TIED = np.eye(6)
TIED[1, 0] = 1.15
"""bp is 1.15 times b0."""
RAISED = np.eye(6)
RAISED[5, 0] = 0.3
"""W is 0.3 times b0 and more."""


def best_of_all(columns: Array, target: Array, basis: Array, own: tuple[int, ...]) -> tuple[float, Array]:
    """The least squares θ = basis·x, x ≥ 0, over all sets of coefficients that may differ from 0, and their sum."""
    found = (float(target @ target), np.zeros(6))
    for free in chain.from_iterable(combinations(own, size) for size in range(1, len(own) + 1)):
        part = (columns @ basis)[:, free]
        x = np.linalg.lstsq(part, target, rcond=None)[0]
        left = float(((part @ x - target) ** 2).sum())
        if x.min() >= 0 and left < found[0]:
            theta = basis[:, free] @ x
            found = (left, theta)
    return found


def expected(form: Hypothesis, columns: Array, target: Array) -> Array:
    """The solution of one form, by trying all sets."""
    if form is ROOFLINE:
        return best_of_all(columns, target, PLAIN, (0, 2, 4, 5))[1]
    if form is MIXTURE:
        return best_of_all(columns, target, RAISED, (0, 1, 2, 3, 4, 5))[1]
    theta = best_of_all(columns, target, PLAIN, (0, 1, 2, 3, 4))[1]
    return (
        theta if form is EAGER or theta[1] <= 1.15 * theta[0] else best_of_all(columns, target, TIED, (0, 2, 3, 4))[1]
    )


def solved(columns: Array, target: Array, forms: tuple[Hypothesis, ...]) -> Array:
    """θ of each form, of one and the same data; what a form does not have is held near 0 by its prior, as in a fit."""
    unused = {DENSE: [5], EAGER: [5], ROOFLINE: [1, 3], MIXTURE: []}
    rows = np.zeros((len(forms), 6, 6))
    for row, form in zip(rows, forms, strict=True):
        row[unused[form], unused[form]] = 1e5
    grams = np.array([columns.T @ columns] * len(forms))
    moments = np.array([columns.T @ target] * len(forms))
    return law_solution.solve(grams, moments, rows, np.zeros((len(forms), 6)), forms)[0]


def problem(seed: int) -> tuple[Array, Array]:
    """Twenty equations, half of whose free coefficients are negative."""
    source = np.random.default_rng(seed)
    return source.normal(size=(20, 6)) + 0.5, source.normal(size=20) + 0.3


@pytest.mark.parametrize("seed", range(40))
def test_the_best_within_the_constraints_of_each_form_is_found(seed: int) -> None:
    """A dense law, whose prompts begin with 1.15 times b0 at most or leave the graph; a roofline of four; a mixture.

    The tolerance is what the prior leaves of the coefficients that a form does not have.
    """
    columns, target = problem(seed)
    forms = (DENSE, ROOFLINE, MIXTURE, ROOFLINE, EAGER, DENSE)
    for form, theta in zip(forms, solved(columns, target, forms), strict=True):
        assert theta == pytest.approx(expected(form, columns, target), rel=1e-6, abs=1e-6)


def test_all_constraints_bind_in_some_of_these() -> None:
    """Of the problems above there are such with bp at its bound, with W at its bound, and with neither."""
    found = [(solved(*problem(seed), (DENSE,))[0], solved(*problem(seed), (MIXTURE,))[0]) for seed in range(40)]
    tied = [dense[0] > 0 and abs(dense[1] / dense[0] - 1.15) < 1e-9 for dense, _ in found]
    raised = [mixture[0] > 0 and abs(mixture[5] / mixture[0] - 0.3) < 1e-9 for _, mixture in found]
    assert 0 < sum(tied) < len(tied)
    assert 0 < sum(raised) < len(raised)


def test_where_exchanges_do_not_end_the_sure_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any exchange allowed the solutions are the same."""
    forms = (DENSE, ROOFLINE, MIXTURE)
    quick = [solved(*problem(seed), forms) for seed in range(10)]
    monkeypatch.setattr(law_solution, "_MOST_EXCHANGES", 0)
    for seed, found in enumerate(quick):
        assert solved(*problem(seed), forms) == pytest.approx(found, rel=1e-6, abs=1e-9)


def test_nothing_is_left_where_all_pull_below_zero() -> None:
    """A target on the other side of all columns: zeros."""
    assert solved(np.eye(6), -np.ones(6), (DENSE, MIXTURE)).tolist() == [[0.0] * 6] * 2


def test_experts_that_are_too_few_are_raised_though_nothing_is_negative() -> None:
    """Data of W at a tenth of b0, all coefficients positive: W is then 0.3 of b0, and the others make up for it."""
    columns = np.random.default_rng(3).uniform(0.5, 1.5, size=(20, 6))
    target = columns @ np.array([2.0, 1.0, 0.5, 0.5, 0.5, 0.2])
    (theta,) = solved(columns, target, (MIXTURE,))
    assert theta[5] == pytest.approx(0.3 * theta[0])
    assert theta == pytest.approx(expected(MIXTURE, columns, target), rel=1e-6)


@pytest.mark.parametrize("form", [DENSE, ROOFLINE])
def test_what_a_form_does_not_have_is_0_where_another_coefficient_is_held_there(form: Hypothesis) -> None:
    """Also where its prior does not keep it near 0, and the data ask for it: one of the others is negative in them."""
    columns = np.random.default_rng(4).uniform(0.5, 1.5, size=(20, 6))
    target = columns @ np.array([2.0, 1.0, 0.5, 0.5, -0.5, 1.5])
    rows = np.zeros((1, 6, 6))
    gram, moment = (columns.T @ columns)[None], (columns.T @ target)[None]
    (theta,) = law_solution.solve(gram, moment, rows, np.zeros((1, 6)), (form,))[0]
    assert theta[[5] if form is DENSE else [1, 3]].tolist() == [0.0] * (1 if form is DENSE else 2)
    assert theta == pytest.approx(expected(form, columns, target), rel=1e-6, abs=1e-9)


def test_a_dense_law_has_no_experts_at_all() -> None:
    """Exactly none, whatever its prior leaves of them."""
    columns = np.random.default_rng(5).uniform(0.5, 1.5, size=(20, 6))
    (theta,) = solved(columns, columns @ np.array([2.0, 2.0, 0.5, 0.5, 0.5, 0.0]), (DENSE,))
    assert theta[5] == 0.0
