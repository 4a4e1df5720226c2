"""The coefficients of a step law within their constraints: none negative, each in its place beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvwatch.stats.expert_coverage import Array
from kvwatch.stats.law_priors import LINEAR, SIZE
from kvwatch.stats.nonnegative import nnls
from kvwatch.stats.step_hypotheses import Hypothesis

_RIDGE = 1e-12
"""Added to the scaled diagonal of a solved system [1]. Choice: keeps its factor real where two columns are alike."""
_MOST_EXCHANGES = 5
"""Exchanges after which a solution is sought one coefficient at a time [1]. Choice: two do nearly always."""
_LEAST_EXPERTS_RATIO = 0.3
"""Least W over b0 of a mixture [1]. Choice: over 34 published curves the quartiles are 1.1 and 3; a dense model's
slight concavity fits less."""
_LARGEST_DENSE_BASE_RATIO = 1.15
"""Largest bp over b0 of a dense model [1]. Choice: a step that leaves the CUDA graph takes about a tenth longer; what
is more is a slope that was not understood."""
_ROOFLINE = [0, 2, 4, 5]
"""Coefficients that a roofline has [1]. Definition: host, sequences, resident tokens, reading."""


def solve(
    grams: Array, moments: Array, rows: Array, targets: Array, forms: Sequence[Hypothesis]
) -> tuple[Array, Array]:
    """The solutions (J, 6) within their constraints, and the information X'X + prior (J, 6, 6)."""
    across = np.swapaxes(rows, 1, 2)
    information = grams + across @ rows
    pulls = moments + np.einsum("jai,ji->ja", across, targets)
    thetas = np.linalg.solve(information, pulls[:, :, None])[:, :, 0]
    for j, form in enumerate(forms):
        theta = thetas[j]
        if form.shape and (theta.min() < 0 or theta[LINEAR] < _LEAST_EXPERTS_RATIO * theta[0]):
            raised = np.eye(SIZE)
            raised[LINEAR, 0] = _LEAST_EXPERTS_RATIO
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
    lhs, rhs = lhs[:LINEAR, :LINEAR], rhs[:LINEAR]
    found = theta[:LINEAR] if theta[:LINEAR].min() >= 0 else _nnls(lhs, rhs)
    if found[1] > _LARGEST_DENSE_BASE_RATIO * found[0]:
        tied = np.zeros((LINEAR, LINEAR - 1))
        tied[0, 0], tied[1, 0] = 1.0, _LARGEST_DENSE_BASE_RATIO
        tied[2:, 1:] = np.eye(LINEAR - 2)
        found = tied @ _nnls(tied.T @ lhs @ tied, tied.T @ rhs)
    return np.append(found, 0.0)


def _nnls(lhs: Array, rhs: Array) -> Array:
    """Argmin over x ≥ 0 of x'·lhs·x − 2·rhs'·x, scaled for conditioning."""
    scale = 1 / np.sqrt(lhs.diagonal())
    scaled, target = lhs * (scale[:, None] * scale), rhs * scale
    scaled.flat[:: len(lhs) + 1] += _RIDGE
    solution = _pivoted(scaled, target)
    if solution is None:
        factor = np.linalg.cholesky(scaled)
        solution = nnls(factor.T, np.linalg.solve(factor, target))
    return np.asarray(solution * scale, dtype=float)


def _pivoted(lhs: Array, rhs: Array) -> Array | None:
    """The solution by block principal pivoting; ``None`` where a few exchanges do not reach it.

    All coefficients that are on the wrong side change it at once (Kim and Park, SIAM J. Sci. Comput. 33, 2011), which
    is cheap where few constraints bind, as is usual.
    """
    free, least = np.ones(len(rhs), dtype=bool), _RIDGE * np.abs(rhs).max()
    for _ in range(_MOST_EXCHANGES):
        solution = np.zeros(len(rhs))
        solution[free] = np.linalg.solve(lhs[free][:, free], rhs[free])
        pull = rhs - lhs @ solution
        wrong = np.where(free, solution < 0, pull > least)
        if not wrong.any():
            return solution
        free ^= wrong
    return None
