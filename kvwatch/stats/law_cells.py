"""Sums over the rows of load levels, and the normal equations that each hypothesis on the step law makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvwatch.constants import TINY
from kvwatch.stats.expert_coverage import Array, tangents
from kvwatch.stats.law_priors import LINEAR, SIZE
from kvwatch.stats.step_hypotheses import Hypothesis


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums of z·z' (C, 7, 7), weights (C), means of z (C, 7) and the coverage's tangents (C, X, 6) in z without y."""

    sums: Array
    weights: Array
    means: Array
    tangents: Array

    def expected(self, theta: Array, transform: Array, shape: int) -> Array:
        """What a law says of each cell's mean (C) [s]."""
        return np.asarray(self.means[:, :-1] @ (transform @ theta[:LINEAR]) + self._experts(theta, shape))

    def _experts(self, theta: Array, shape: int) -> Array:
        if shape < 0:
            return np.zeros(len(self.weights))
        return np.asarray(theta[LINEAR] * np.einsum("ci,ci->c", self.means[:, :-1], self.tangents[:, shape]))

    def squares(self, theta: Array, transform: Array, shape: int) -> Array:
        """Mean squared residual in each cell (C) [s²]."""
        slopes = np.broadcast_to(transform @ theta[:LINEAR], (len(self.weights), SIZE))
        if shape >= 0:
            slopes = slopes + theta[LINEAR] * self.tangents[:, shape]
        full = np.concatenate([slopes, -np.ones((len(self.weights), 1))], axis=1)
        return np.asarray(np.maximum(np.einsum("ci,cij,cj->c", full, self.sums, full) / self.weights, 0.0))


def coverage_tangents(means: Array, shapes: Array) -> Array:
    """What W is multiplied with in each cell of means (1, φ, n, p, n·φ, K) (C, 6) for each shape (C, X, 6).

    That is (1−φ)·cov(n) − φ·(1 − cov(n + p/φ)): bp is the base of a prompt that touches all experts, and a step with a
    short one reads less.
    """
    decoding, prompt = means[:, 2], means[:, 3] / np.maximum(means[:, 1], TINY)
    level, slope = tangents(decoding, shapes)
    beside, rise = tangents(decoding + prompt, shapes)
    found = np.zeros((len(decoding), len(shapes), SIZE))
    found[:, :, 0], found[:, :, 1], found[:, :, 2] = level, beside - 1 - level, slope
    found[:, :, 3], found[:, :, 4] = rise, rise - slope
    return found


def place_of(form: Hypothesis, shapes: Sequence[float], balances: Sequence[float]) -> int:
    """Which tangents a form takes its last coefficient's from; −1 for none."""
    if form.shape:
        return shapes.index(form.shape)
    return len(shapes) + balances.index(form.balance) if form.balance else -1


def transform(form: Hypothesis) -> Array:
    """Matrix from (1, φ, n, p, n·φ, K) to what (b0, bp, b1, b2, b3) are multiplied with."""
    matrix = np.zeros((SIZE, LINEAR))
    matrix[0, 0] = matrix[2, 2] = matrix[5, 4] = 1.0
    if not form.balance:  # a roofline has no base of prompts, nor a cost of their tokens, beside it
        matrix[1, 0], matrix[1, 1], matrix[3, 3] = -1.0, 1.0, 1.0
    return matrix


def normal_equations(cells: Cells, scale: Array, transforms: Array, places: Array) -> tuple[Array, Array, float]:
    """X'X (J, 6, 6) and X'y (J, 6) of each hypothesis, and y'y, of cells weighted by ``scale``.

    The sums over cells are made once, and once for each shape; a hypothesis only transforms them.
    """
    scaled = cells.sums * scale[:, None, None]
    total = scaled.sum(axis=0)
    rotated = np.swapaxes(transforms, 1, 2)
    grams, moments = np.zeros((len(places), SIZE, SIZE)), np.zeros((len(places), SIZE))
    grams[:, :LINEAR, :LINEAR] = rotated @ total[:-1, :-1] @ transforms
    moments[:, :LINEAR] = rotated @ total[:-1, -1]
    if cells.tangents.shape[1]:
        along = cells.tangents @ scaled[:, :-1, :]
        cross, square = along.sum(axis=0), np.einsum("cxi,cxi->x", along[:, :, :-1], cells.tangents)
        mixed = places >= 0
        of = places[mixed]
        column = np.einsum("jai,ji->ja", rotated[mixed], cross[of, :-1])
        grams[mixed, :LINEAR, LINEAR] = grams[mixed, LINEAR, :LINEAR] = column
        grams[mixed, LINEAR, LINEAR], moments[mixed, LINEAR] = square[of], cross[of, -1]
    return grams, moments, float(total[-1, -1])
