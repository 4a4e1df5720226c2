"""Which hypotheses on the step law the data speak for: Bayesian linear regression of each, and their evidence.

Data are load levels (cells), each with the sums of z·z' over its rows, z = (1, φ, n, p, n·φ, K, y). A cell's rows
scatter, and what the law's form misses in it is the same for all of them: the variance of a cell of weight w is
σ²·2/w + s², so that no number of intervals at one load outweighs a few at another (a random effect for each cell). With
Gaussian priors the evidence of a hypothesis has a closed form at its non-negative solution (Bishop, Pattern Recognition
and Machine Learning, 3.5; Lawson and Hanson's NNLS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvwatch.constants import TINY
from kvwatch.stats import roofline
from kvwatch.stats.expert_coverage import Array
from kvwatch.stats.law_cells import Cells, coverage_tangents, normal_equations, place_of, transform
from kvwatch.stats.law_priors import LINEAR, SIZE, prior_rows
from kvwatch.stats.law_solution import solve
from kvwatch.stats.step_hypotheses import Hypothesis
from kvwatch.stats.step_law_fit import Part

_FIT_ROUNDS = 5
"""Fits at most, each weighted by the one before [rounds]. Choice: expected times settle to a per cent in three."""
_PLAIN_ROUNDS = 2
"""Fits before cells that do not fit in with the others are distrusted [rounds]. Choice: the first is weighted by what
was observed, and would distrust what is merely scattered."""
_SETTLED_RATIO = 1e-3
"""Relative change of the expected times at which the rounds end [1]. Choice: a tenth of what a cell can be known to."""
CORRELATION = 2.0
"""Neighbouring intervals that say as much as one independent one [intervals]. Choice: a request lives through several,
so that what is odd about it is in all of them."""
_FORM_DEVIATION = 0.025
"""Relative sd of a real law from its fitted form, load by load [1]. Measured: 34 published decode curves of mixtures
have an rms of 2.5% from theirs, 21 of dense models 2.6%."""
_PROMPT_DEVIATION = 0.1
"""The same of the time that prompts take [1]. Choice: their lengths differ within a row, and which step had them is
only estimated; with half and double of it μ moves by 2% on the recordings."""
_PROMPTS_TELL_NOTHING = 0.4
"""Share of a cell's time that prompts take from which on it says nothing of decoding [1]. Choice: a tenth of the time
of prompts is then as large as what bends a mixture's curve."""
_LEAST_NOISE = 0.005
"""Least relative sd of a row [1]. Choice: counters are that exact over a run of steps; less would trust one cell."""
_MOST_NOISE = 0.3
"""Largest relative sd of a row [1]. Choice: beyond it a law explains nothing, and its prior is all there is."""
_LEAST_PROBABILITY = 0.003
"""Probability against that of the most probable hypothesis below which one is left out [1]. Choice: all that are left
out weigh less than a tenth of the interval."""
_LEAST_EXPECTED_SECONDS = 1e-6
"""Step time below which none is expected [s]. Choice: far below a launch of a kernel."""
_DISTRUSTED_MISFITS = 3.0
"""Typical misfits from which on a cell counts less, in proportion [1]. Choice: of normal misfits one in twenty."""
_LEAST_TYPICAL_MISFIT = 0.02
"""Least typical misfit [1]. Choice: the form's own deviation, so that a good fit distrusts nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The hypotheses that are left with their probabilities, and the residual's relative sd for one row."""

    parts: tuple[Part, ...]
    residual_ratio: float


def weigh(sums: Array, weights: Array, full_load: Array, forms: Sequence[Hypothesis]) -> Evidence:
    """Fit each form to cells (C, 7, 7) of these weights (C), its prior stated at (n, p, K) = ``full_load``."""
    shapes = sorted({form.shape for form in forms if form.shape})
    balances = sorted({form.balance for form in forms if form.balance})
    places = np.array([place_of(form, shapes, balances) for form in forms])
    means = sums[:, 0, :] / weights[:, None]
    bent = [coverage_tangents(means[:, :-1], np.array(shapes)), roofline.tangents(means[:, :-1], np.array(balances))]
    cells = Cells(sums, weights, means, np.concatenate(bent, axis=1))
    transforms = np.array([transform(form) for form in forms])
    shortest = float(means[:, -1].min())
    thetas = np.zeros((len(forms), SIZE))
    thetas[:, 0] = shortest
    thetas[:, LINEAR] = [shortest if form.shape else shortest if form.balance else 0.0 for form in forms]
    expected, noise, trust, prompts = means[:, -1], _FORM_DEVIATION**2, np.ones(len(weights)), np.zeros(len(weights))
    priors = np.log([form.probability for form in forms])
    for turn in range(_FIT_ROUNDS):
        form_variance = _FORM_DEVIATION**2 + (_PROMPT_DEVIATION * prompts) ** 2
        scale = trust / (weights * form_variance + CORRELATION * noise) / expected**2
        grams, moments, square = normal_equations(cells, scale, transforms, places)
        rows, targets = prior_rows(forms, thetas, shortest, full_load)
        thetas, information = solve(grams, moments, rows, targets, forms)
        wholes = _log_evidence(grams, moments, square, thetas, rows, targets, information)
        best = int((wholes + priors).argmax())
        before, expected = (
            expected,
            np.maximum(cells.expected(thetas[best], transforms[best], int(places[best])), _LEAST_EXPECTED_SECONDS),
        )
        if turn > _PLAIN_ROUNDS and float(np.abs(expected / before - 1).max()) < _SETTLED_RATIO:
            break
        squares = cells.squares(thetas[best], transforms[best], int(places[best])) / expected**2
        noise = float((trust * weights) @ squares / (trust @ weights))
        noise = min(max(noise, _LEAST_NOISE**2), _MOST_NOISE**2)
        prompts = _prompt_share(cells, forms[best], thetas[best], transforms[best], int(places[best]), expected)
        if turn >= _PLAIN_ROUNDS - 1:
            trust = _trust(np.log(means[:, -1] / expected), weights)
    decoding = _decoding_evidence(cells, scale * _decoding_alone(prompts), transforms, places, rows, targets, forms)
    logs = _log_posterior(forms, wholes, decoding)
    shares = np.exp(logs - logs.max())
    shares[shares < _LEAST_PROBABILITY] = 0.0
    shares /= shares.sum()
    covariances = np.linalg.inv(information)
    parts = tuple(
        Part(float(share), form.base, form.shape, form.balance, theta, covariance)
        for form, share, theta, covariance in zip(forms, shares, thetas, covariances, strict=True)
        if share
    )
    return Evidence(parts, noise**0.5)


def _decoding_alone(prompts: Array) -> Array:
    """How much each cell says of decoding alone (C): all where prompts took no time, nothing where two fifths of it."""
    return np.asarray(np.clip(1 - prompts / _PROMPTS_TELL_NOTHING, 0.0, 1.0))


def _decoding_evidence(  # noqa: PLR0913, PLR0917 (what a fit rests on)
    cells: Cells,
    scale: Array,
    transforms: Array,
    places: Array,
    rows: Array,
    targets: Array,
    forms: Sequence[Hypothesis],
) -> Array:
    """The evidence (J) of the steps that prompts do not dominate."""
    grams, moments, square = normal_equations(cells, scale, transforms, places)
    thetas, information = solve(grams, moments, rows, targets, forms)
    return _log_evidence(grams, moments, square, thetas, rows, targets, information)


def _log_posterior(forms: Sequence[Hypothesis], wholes: Array, decoding: Array) -> Array:
    """Logarithm of each hypothesis's probability (J), but for a constant.

    Of its shape decoding alone tells, and of its base all steps, given the shape: a law that may move the base freely
    would else win by how it explains prompts, and bring its experts with it.
    """
    priors = np.log([form.probability for form in forms])
    logs = np.zeros(len(forms))
    for shape in {form.shape for form in forms}:
        same = np.array([form.shape == shape for form in forms])
        within = priors[same] + wholes[same]
        within -= np.logaddexp.reduce(within)
        alone = np.logaddexp.reduce(within + decoding[same])
        logs[same] = np.logaddexp.reduce(priors[same]) + alone + within
    return logs


def _log_evidence(  # noqa: PLR0913, PLR0917 (the terms of the formula)
    grams: Array, moments: Array, square: float, thetas: Array, rows: Array, targets: Array, information: Array
) -> Array:
    """Logarithm of the probability of the data under each hypothesis (J), but for what all have in common."""
    misfit = square - 2 * np.einsum("ji,ji->j", thetas, moments) + np.einsum("ji,jik,jk->j", thetas, grams, thetas)
    surprise = ((np.einsum("jik,jk->ji", rows, thetas) - targets) ** 2).sum(axis=1)
    _, prior = np.linalg.slogdet(rows)
    _, posterior = np.linalg.slogdet(information)
    return np.asarray(-(misfit + surprise + posterior) / 2 + prior)


def _prompt_share(  # noqa: PLR0913, PLR0917 (a law and where it is asked)
    cells: Cells, form: Hypothesis, theta: Array, transform: Array, place: int, expected: Array
) -> Array:
    """Share of each cell's time that prompts take (C): what its steps would be shorter without them."""
    means = cells.means.copy()
    means[:, [1, 3, 4]] = 0.0
    if form.balance:
        column = roofline.tangents(means[:, :-1], np.array([form.balance]))[:, 0]
    else:
        column = cells.tangents[:, place] if place >= 0 else np.zeros_like(means[:, :-1])
    without = means[:, :-1] @ (transform @ theta[:LINEAR])
    without += theta[LINEAR] * np.einsum("ci,ci->c", means[:, :-1], column)
    return np.asarray(np.clip(1 - without / expected, 0.0, 1.0))


def _trust(misfits: Array, weights: Array) -> Array:
    """Weight of each cell by how far it lies from the law (Huber): a lone pause of the host makes a cell of its own."""
    order = np.argsort(np.abs(misfits))
    cumulative = np.cumsum(weights[order])
    typical = float(np.abs(misfits)[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return np.minimum(
        1.0, _DISTRUSTED_MISFITS * max(typical, _LEAST_TYPICAL_MISFIT) / np.maximum(np.abs(misfits), TINY)
    )
