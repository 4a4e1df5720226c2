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

from kvwatch.stats import roofline
from kvwatch.stats.expert_coverage import Array, tangents
from kvwatch.stats.nonnegative import nnls
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase
from kvwatch.stats.step_law_fit import Part

_ROUNDS, _PLAIN_ROUNDS = 5, 2
"""Fits, each weighted by the one before; the last ones distrust cells that do not fit in with the others."""
_SETTLED_RATIO = 1e-3
_CORRELATION = 2.0
"""Neighbouring intervals resemble each other: as many of them say as much as one independent one."""
_FORM_DEVIATION = 0.025
"""Relative sd of a real law from its fitted form, load by load: rms over 34 published curves of mixtures, 21 dense."""
_PROMPT_DEVIATION = 0.10
"""The same for the time that prompts take: their lengths differ within a row, and which step had them is guessed."""
_PROMPTS_TELL_NOTHING = 0.4
"""Share of a cell's time that prompts take from which on it says nothing of how decoding grows with its sequences."""
_LEAST_NOISE, _MOST_NOISE = 0.005, 0.3
_LEAST_PROBABILITY = 0.003
"""Hypotheses less probable than that, against the most probable one, are left out."""
_GROWTH = 1.0
"""Prior growth of the step from empty to full by sequences, and by resident tokens, over reading the weights: reading
a full KV cache takes as long as reading the weights where the two are of a size."""
_EXPERTS_GROWTH = 0.5
"""The same over reading all experts, which is more: 0.5 to 0.8 by sequences at 256, 0.2 to 0.8 by tokens."""
_GROWTH_SPREAD, _EXPERTS_GROWTH_SPREAD = 3.0, 0.8
"""Its sd over its mean: wide enough to cover a CPU and an H200."""
_PREFILL_RATIO, _PREFILL_SPREAD = 0.007, 0.6
"""Time of one prompt token over reading a dense model's weights, and its relative sd: reading them once takes as long
as computing some 140 tokens. That is the machine's balance of arithmetic and bandwidth: 60 to 300 tokens on anything
that vLLM runs on, by the data sheets."""
_EXPERTS_PREFILL_RATIO, _EXPERTS_PREFILL_SPREAD = 0.0012, 1.0
"""The same over reading all weights of a mixture: of which a token is computed by k of E experts."""
_EXPERTS_SHARE, _EXPERTS_SPREAD, _LEAST_EXPERTS_RATIO = 0.65, 0.2, 0.3
"""W over b0 + W, its sd, and the least W over b0: over 34 published curves the quartiles of the share are 0.52, 0.65
and 0.75; a dense model's slight concavity fits less."""
_HOST_RATIO, _HOST_SPREAD = 0.3, 0.3
"""Host time over R, and its sd in empty steps: 2 of 8 ms for an 8B model on an H100, 2 of 26 for 70B on A100s."""
_BASE_RATIO = {PromptBase.VISIBLE: (1.0, 0.15), PromptBase.EAGER: (2.5, 2.0)}
"""bp over the time of reading all weights, and its sd."""
_LARGEST_DENSE_BASE_RATIO = 1.15
"""What bp of a dense model is more than that above b0 is a slope that was not understood."""
_SHORTEST_RATIO, _SHORTEST_SPREAD, _LEAST_BASE_RATIO = 0.7, 0.5, 0.3
"""b0 over the shortest mean step seen, its sd; priors stated in shares of b0 take it to be at least 0.3 of that."""

_LINEAR, _SIZE = 5, 6
_ROOFLINE = [0, 2, 4, 5]
"""Coefficients that a roofline has."""
_UNUSED = 1e-6
"""Relative sd of a W that a dense law does not have."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The hypotheses that are left with their probabilities, and the residual's relative sd for one row."""

    parts: tuple[Part, ...]
    residual_ratio: float


@dataclass(frozen=True, slots=True)
class _Cells:
    """Sums of z·z' (C, 7, 7), weights (C), means of z (C, 7) and the coverage's tangents (C, X, 6) in z without y."""

    sums: Array
    weights: Array
    means: Array
    tangents: Array

    def expected(self, theta: Array, transform: Array, shape: int) -> Array:
        """What a law says of each cell's mean (C) [s]."""
        return np.asarray(self.means[:, :-1] @ (transform @ theta[:_LINEAR]) + self._experts(theta, shape))

    def _experts(self, theta: Array, shape: int) -> Array:
        if shape < 0:
            return np.zeros(len(self.weights))
        return np.asarray(theta[_LINEAR] * np.einsum("ci,ci->c", self.means[:, :-1], self.tangents[:, shape]))

    def squares(self, theta: Array, transform: Array, shape: int) -> Array:
        """Mean squared residual in each cell (C) [s²]."""
        slopes = np.broadcast_to(transform @ theta[:_LINEAR], (len(self.weights), _SIZE))
        if shape >= 0:
            slopes = slopes + theta[_LINEAR] * self.tangents[:, shape]
        full = np.concatenate([slopes, -np.ones((len(self.weights), 1))], axis=1)
        return np.asarray(np.maximum(np.einsum("ci,cij,cj->c", full, self.sums, full) / self.weights, 0.0))


def weigh(sums: Array, weights: Array, full_load: Array, forms: Sequence[Hypothesis]) -> Evidence:
    """Fit each form to cells (C, 7, 7) of these weights (C), its prior stated at (n, p, K) = ``full_load``."""
    shapes = sorted({form.shape for form in forms if form.shape})
    balances = sorted({form.balance for form in forms if form.balance})
    places = np.array([_place(form, shapes, balances) for form in forms])
    means = sums[:, 0, :] / weights[:, None]
    bent = [_tangents(means[:, 2], np.array(shapes)), roofline.tangents(means[:, :-1], np.array(balances))]
    cells = _Cells(sums, weights, means, np.concatenate(bent, axis=1))
    transforms = np.array([_transform(form) for form in forms])
    shortest = float(means[:, -1].min())
    thetas = np.zeros((len(forms), _SIZE))
    thetas[:, 0] = shortest
    thetas[:, 5] = [shortest if form.shape else shortest if form.balance else 0.0 for form in forms]
    expected, noise, trust, prompts = means[:, -1], 0.05**2, np.ones(len(weights)), np.zeros(len(weights))
    priors = np.log([form.probability for form in forms])
    for turn in range(_ROUNDS):
        form_variance = _FORM_DEVIATION**2 + (_PROMPT_DEVIATION * prompts) ** 2
        scale = trust / (weights * form_variance + _CORRELATION * noise) / expected**2
        grams, moments, square = _normal_equations(cells, scale, transforms, places)
        rows, targets = _priors(forms, thetas, shortest, full_load)
        thetas, information = _solve(grams, moments, rows, targets, forms)
        wholes = _log_evidence(grams, moments, square, thetas, rows, targets, information)
        best = int((wholes + priors).argmax())
        before, expected = expected, np.maximum(cells.expected(thetas[best], transforms[best], int(places[best])), 1e-6)
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


def _tangents(decoding: Array, shapes: Array) -> Array:
    """What W is multiplied with in each cell for each shape, by its mean z without y (C, X, 6)."""
    level, slope = tangents(decoding, shapes)
    found = np.zeros((len(decoding), len(shapes), _SIZE))
    found[:, :, 0], found[:, :, 1], found[:, :, 2], found[:, :, 4] = level, -level, slope, -slope
    return found


def _place(form: Hypothesis, shapes: Sequence[float], balances: Sequence[float]) -> int:
    """Which tangents a form takes its last coefficient's from; −1 for none."""
    if form.shape:
        return shapes.index(form.shape)
    return len(shapes) + balances.index(form.balance) if form.balance else -1


def _transform(form: Hypothesis) -> Array:
    """Matrix from (1, φ, n, p, n·φ, K) to what (b0, bp, b1, b2, b3) are multiplied with."""
    matrix = np.zeros((_SIZE, _LINEAR))
    matrix[0, 0] = matrix[2, 2] = matrix[5, 4] = 1.0
    if not form.balance:  # a roofline has no base of prompts, nor a cost of their tokens, beside it
        matrix[1, 0], matrix[1, 1], matrix[3, 3] = -1.0, 1.0, 1.0
    return matrix


def _normal_equations(cells: _Cells, scale: Array, transforms: Array, places: Array) -> tuple[Array, Array, float]:
    """X'X (J, 6, 6) and X'y (J, 6) of each hypothesis, and y'y, of cells weighted by ``scale``.

    The sums over cells are made once, and once for each shape; a hypothesis only transforms them.
    """
    scaled = cells.sums * scale[:, None, None]
    total = scaled.sum(axis=0)
    rotated = np.swapaxes(transforms, 1, 2)
    grams, moments = np.zeros((len(places), _SIZE, _SIZE)), np.zeros((len(places), _SIZE))
    grams[:, :_LINEAR, :_LINEAR] = rotated @ total[:-1, :-1] @ transforms
    moments[:, :_LINEAR] = rotated @ total[:-1, -1]
    if cells.tangents.shape[1]:
        cross = np.einsum("cij,cxj->xi", scaled[:, :, :-1], cells.tangents)
        square = np.einsum("cxi,cij,cxj->x", cells.tangents, scaled[:, :-1, :-1], cells.tangents, optimize=True)
        mixed = places >= 0
        of = places[mixed]
        column = np.einsum("jai,ji->ja", rotated[mixed], cross[of, :-1])
        grams[mixed, :_LINEAR, _LINEAR] = grams[mixed, _LINEAR, :_LINEAR] = column
        grams[mixed, _LINEAR, _LINEAR], moments[mixed, _LINEAR] = square[of], cross[of, -1]
    return grams, moments, float(total[-1, -1])


def _priors(forms: Sequence[Hypothesis], thetas: Array, shortest: float, full_load: Array) -> tuple[Array, Array]:
    """Rows (J, 6, 6) and targets (J, 6): rows·θ − targets is standard normal a priori."""
    n, _, k = np.maximum(full_load, 1e-9)
    rows, targets = np.zeros((len(forms), _SIZE, _SIZE)), np.zeros((len(forms), _SIZE))
    for form, theta, row, target in zip(forms, thetas, rows, targets, strict=True):
        # a fit may well put b0 at 0; a prior that is stated in shares of it must not follow it there
        base = max(float(theta[0]), _LEAST_BASE_RATIO * shortest)
        if form.balance:
            _roofline_prior(row, target, float(theta[0] + theta[5]), shortest, (n, k))
            continue
        reading = base + float(theta[5])
        (growth, growth_spread), prefill = (
            ((_EXPERTS_GROWTH, _EXPERTS_GROWTH_SPREAD), (_EXPERTS_PREFILL_RATIO, _EXPERTS_PREFILL_SPREAD))
            if form.shape
            else ((_GROWTH, _GROWTH_SPREAD), (_PREFILL_RATIO, _PREFILL_SPREAD))
        )
        row[0, 0], target[0] = 1 / (_SHORTEST_SPREAD * shortest), _SHORTEST_RATIO / _SHORTEST_SPREAD
        ratio, spread = _BASE_RATIO[form.base]
        row[1, 1] = 1 / (spread * reading)
        row[1, 0] = -ratio * row[1, 1]
        means = reading * np.array([growth / n, prefill[0], growth / k])
        spreads = np.array([growth_spread, prefill[1], growth_spread])
        row[[2, 3, 4], [2, 3, 4]], target[2:5] = 1 / (spreads * means), 1 / spreads
        if form.shape:
            row[1, 5] = row[1, 0]
            row[5, 5] = (1 - _EXPERTS_SHARE) / (_EXPERTS_SPREAD * reading)
            row[5, 0] = -_EXPERTS_SHARE / (_EXPERTS_SPREAD * reading)
        else:
            row[5, 5] = 1 / (_UNUSED * base)
    return rows, targets


def _roofline_prior(row: Array, target: Array, empty: float, shortest: float, full: tuple[float, float]) -> None:
    """The same for host time b0, b1, b3 and R, of an ``empty`` step of b0 + R; bp and b2 are not used."""
    empty = max(empty, _LEAST_BASE_RATIO * shortest)
    row[0, 0] = row[0, 5] = 1 / (_SHORTEST_SPREAD * shortest)
    target[0] = _SHORTEST_RATIO / _SHORTEST_SPREAD
    row[5, 0], row[5, 5] = 1 / (_HOST_SPREAD * empty), -_HOST_RATIO / (_HOST_SPREAD * empty)
    row[1, 1] = row[3, 3] = 1 / (_UNUSED * empty)
    row[[2, 4], [2, 4]] = np.array(full) / (_GROWTH * _GROWTH_SPREAD * empty)
    target[[2, 4]] = 1 / _GROWTH_SPREAD


def _solve(
    grams: Array, moments: Array, rows: Array, targets: Array, forms: Sequence[Hypothesis]
) -> tuple[Array, Array]:
    """The solutions (J, 6) within their constraints, and the information X'X + prior (J, 6, 6)."""
    across = np.swapaxes(rows, 1, 2)
    information = grams + across @ rows
    pulls = moments + np.einsum("jai,ji->ja", across, targets)
    thetas = np.linalg.solve(information, pulls[:, :, None])[:, :, 0]
    for j, form in enumerate(forms):
        theta = thetas[j]
        if form.shape and (theta.min() < 0 or theta[5] < _LEAST_EXPERTS_RATIO * theta[0]):
            raised = np.eye(_SIZE)
            raised[5, 0] = _LEAST_EXPERTS_RATIO
            thetas[j] = raised @ _nnls(raised.T @ information[j] @ raised, raised.T @ pulls[j])
        elif form.balance:
            if theta.min() < 0:
                used = np.ix_(_ROOFLINE, _ROOFLINE)
                thetas[j] = 0.0
                thetas[j, _ROOFLINE] = _nnls(information[j][used], pulls[j, _ROOFLINE])
        elif not form.shape:
            thetas[j] = _dense(theta, information[j], pulls[j])
    return thetas, information


def _dense(theta: Array, lhs: Array, rhs: Array) -> Array:
    """The non-negative solution without experts, with bp no more than a little above b0."""
    lhs, rhs = lhs[:_LINEAR, :_LINEAR], rhs[:_LINEAR]
    found = theta[:_LINEAR] if theta[:_LINEAR].min() >= 0 else _nnls(lhs, rhs)
    if found[1] > _LARGEST_DENSE_BASE_RATIO * found[0]:
        tied = np.zeros((_LINEAR, _LINEAR - 1))
        tied[0, 0], tied[1, 0] = 1.0, _LARGEST_DENSE_BASE_RATIO
        tied[2:, 1:] = np.eye(3)
        found = tied @ _nnls(tied.T @ lhs @ tied, tied.T @ rhs)
    return np.append(found, 0.0)


def _nnls(lhs: Array, rhs: Array) -> Array:
    """Argmin over x ≥ 0 of x'·lhs·x − 2·rhs'·x, scaled for conditioning."""
    scale = 1 / np.sqrt(lhs.diagonal())
    scaled = lhs * (scale[:, None] * scale)
    scaled.flat[:: len(lhs) + 1] += 1e-12
    free = np.linalg.solve(scaled, rhs * scale)
    if free.min() >= 0:
        return np.asarray(free * scale, dtype=float)  # the constraint does not bind, as is usual
    factor = np.linalg.cholesky(scaled)
    solution = nnls(factor.T, np.linalg.solve(factor, rhs * scale))
    return np.asarray(solution * scale, dtype=float)


def _decoding_alone(prompts: Array) -> Array:
    """How much each cell says of decoding alone (C): all where prompts took no time, nothing where two fifths of it."""
    return np.asarray(np.clip(1 - prompts / _PROMPTS_TELL_NOTHING, 0.0, 1.0))


def _decoding_evidence(  # noqa: PLR0913, PLR0917 (what a fit rests on)
    cells: _Cells,
    scale: Array,
    transforms: Array,
    places: Array,
    rows: Array,
    targets: Array,
    forms: Sequence[Hypothesis],
) -> Array:
    """The evidence (J) of the steps that prompts do not dominate."""
    grams, moments, square = _normal_equations(cells, scale, transforms, places)
    thetas, information = _solve(grams, moments, rows, targets, forms)
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
    return np.asarray(-0.5 * (misfit + surprise + posterior) + prior)


def _prompt_share(  # noqa: PLR0913, PLR0917 (a law and where it is asked)
    cells: _Cells, form: Hypothesis, theta: Array, transform: Array, place: int, expected: Array
) -> Array:
    """Share of each cell's time that prompts take (C): what its steps would be shorter without them."""
    means = cells.means.copy()
    means[:, [1, 3, 4]] = 0.0
    if form.balance:
        column = roofline.tangents(means[:, :-1], np.array([form.balance]))[:, 0]
    else:
        column = cells.tangents[:, place] if place >= 0 else np.zeros_like(means[:, :-1])
    without = means[:, :-1] @ (transform @ theta[:_LINEAR])
    without += theta[_LINEAR] * np.einsum("ci,ci->c", means[:, :-1], column)
    return np.asarray(np.clip(1 - without / expected, 0.0, 1.0))


def _trust(misfits: Array, weights: Array) -> Array:
    """Weight of each cell by how far it lies from the law (Huber): a lone pause of the host makes a cell of its own."""
    order = np.argsort(np.abs(misfits))
    cumulative = np.cumsum(weights[order])
    typical = float(np.abs(misfits)[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return np.minimum(1.0, 3 * max(typical, 0.02) / np.maximum(np.abs(misfits), 1e-9))
