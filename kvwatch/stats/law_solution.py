"""The coefficients of a step law within their constraints: none negative, each in its place beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kvwatch.stats.expert_coverage import Array
from kvwatch.stats.law_priors import LINEAR, SIZE
from kvwatch.stats.nonnegative import nnls
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase

Mask = npt.NDArray[np.bool_]

_RIDGE = 1e-12
"""Added to the scaled diagonal of a solved system [1]. Choice: keeps its factor real where two columns are alike."""
_MOST_EXCHANGES = 5
"""Exchanges after which a solution is sought one coefficient at a time [1]. Choice: two do nearly always."""
_LEAST_EXPERTS_RATIO = 0.3
"""Least W over b0 of a mixture [1]. Choice: over 34 published curves the quartiles are 1.1 and 3; a dense model's
slight concavity fits less."""
_LARGEST_DENSE_BASE_RATIO = 1.15
"""Largest bp over b0 of a dense model whose steps with prompts stay in the graph [1]. Choice: what is more is a slope
that was not understood."""
_ROOFLINE: Mask = np.array([True, False, True, False, True, True])
"""Coefficients that a roofline has [1]. Definition: host, sequences, resident tokens, reading."""


def solve(
    grams: Array, moments: Array, rows: Array, targets: Array, forms: Sequence[Hypothesis]
) -> tuple[Array, Array]:
    """The solutions (J, 6) within their constraints, and the information X'X + prior (J, 6, 6)."""
    across = np.swapaxes(rows, 1, 2)
    information = grams + across @ rows
    pulls = moments + np.einsum("jai,ji->ja", across, targets)
    thetas = np.linalg.solve(information, pulls[:, :, None])[:, :, 0]
    experts, rooflines = np.array([form.shape > 0 for form in forms]), np.array([form.balance > 0 for form in forms])
    dense = ~experts & ~rooflines
    negative = thetas < 0
    few_experts = thetas[:, LINEAR] < _LEAST_EXPERTS_RATIO * thetas[:, 0]
    wrong = np.where(dense, negative[:, :LINEAR].any(axis=1), negative.any(axis=1) | (experts & few_experts))
    bases, own = np.tile(np.eye(SIZE), (len(forms), 1, 1)), np.ones((len(forms), SIZE), dtype=bool)
    bases[experts, LINEAR, 0] = _LEAST_EXPERTS_RATIO
    own[rooflines] = _ROOFLINE
    own[dense, LINEAR] = False
    thetas[wrong] = _nonnegative(information[wrong], pulls[wrong], bases[wrong], own[wrong])
    thetas[dense, LINEAR] = 0.0
    in_graph = np.array([form.base is not PromptBase.EAGER for form in forms])
    tied = dense & in_graph & (thetas[:, 1] > _LARGEST_DENSE_BASE_RATIO * thetas[:, 0])
    bases[tied, 1, 0], own[tied, 1] = _LARGEST_DENSE_BASE_RATIO, False
    thetas[tied] = _nonnegative(information[tied], pulls[tied], bases[tied], own[tied])
    return thetas, information


def _nonnegative(lhs: Array, rhs: Array, bases: Array, own: Mask) -> Array:
    """Of each of N problems θ = basis·x with the least θ'·lhs·θ − 2·rhs'·θ over x ≥ 0, where all but ``own`` are 0.

    ``lhs`` and ``bases`` are (N, 6, 6), the others (N, 6). A basis ties a coefficient to another one: x is then what it
    has beyond that.
    """
    if not len(rhs):
        return rhs
    across = np.swapaxes(bases, 1, 2)
    lhs, rhs = across @ lhs @ bases, np.einsum("nai,ni->na", across, rhs)
    scale = 1 / np.sqrt(np.diagonal(lhs, axis1=1, axis2=2))  # for conditioning
    scaled, target = lhs * (scale[:, :, None] * scale[:, None, :]), rhs * scale
    scaled[:, range(SIZE), range(SIZE)] += _RIDGE
    return np.asarray(np.einsum("nai,ni->na", bases, scale * _pivoted(scaled, target, own)))


def _pivoted(lhs: Array, rhs: Array, own: Mask) -> Array:
    """The solutions (N, 6) by block principal pivoting, of all problems together.

    All coefficients that are on the wrong side change it at once (Kim and Park, SIAM J. Sci. Comput. 33, 2011), which
    is cheap where few constraints bind, as is usual. A coefficient that is held at 0 has an equation to itself.
    """
    free, wrong, solutions = own.copy(), own, np.zeros_like(rhs)
    least = _RIDGE * np.abs(rhs).max(axis=1, keepdims=True)
    for _ in range(_MOST_EXCHANGES):
        systems = np.where(free[:, :, None] & free[:, None, :], lhs, np.eye(SIZE))
        solutions = np.linalg.solve(systems, np.where(free, rhs, 0.0)[:, :, None])[:, :, 0]
        pulls = rhs - np.einsum("nij,nj->ni", lhs, solutions)
        wrong = own & np.where(free, solutions < 0, pulls > least)
        if not wrong.any():
            return solutions
        free ^= wrong
    for n in np.flatnonzero(wrong.any(axis=1)):
        factor = np.linalg.cholesky(lhs[n][own[n]][:, own[n]])
        solutions[n, own[n]] = nnls(factor.T, np.linalg.solve(factor, rhs[n, own[n]]))
    return solutions
