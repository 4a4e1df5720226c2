"""Step time as a non-negative linear law of what is in the step, learnt from interval means, with a long memory.

b(n, p, K) = b0 + b1·n + b2·p + b3·K is linear, so the mean over an interval's steps obeys it exactly. Samples are
kept as sufficient statistics in cells by load (n and p, logarithmic), each cell of bounded weight: a quiet night
fills its own cells and takes nothing from those of the afternoon's peak, and within a cell new samples slowly
replace old ones. The fit is least squares on errors relative to the *fitted* step time (relative to the observed one,
predicting too little would cost too little), with a weak Gaussian prior (Bayesian linear regression), the coefficients
kept non-negative (Lawson and Hanson, NNLS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log2, sqrt

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Array = npt.NDArray[np.float64]

_CELL_WEIGHT = 120.0
"""Intervals that a cell remembers."""
_LEAST_CELL_WEIGHT = 0.01
_PLAIN_ROUNDS, _ROUNDS = 3, 6
"""Fits, each weighted by the one before; the last ones distrust cells that do not fit in with the others."""
_COMMON_INTERVALS = 3.0
_CORRELATION = 2.0
"""Neighbouring intervals resemble each other: as many of them say as much as one independent one."""
_PRIOR_GROWTH = np.array([1.0, 1.0])
"""Growth of the step from empty to full by sequences and by resident tokens, as shares of b0: reading a full KV cache
takes as long as reading the weights where the two are of a size."""
_PRIOR_PREFILL_RATIO = 0.01
"""Time of one prefill token as a share of b0: reading the weights once takes as long as computing a hundred
tokens. That is the machine's balance of arithmetic and bandwidth: 60 to 300 tokens on anything that vLLM runs on."""
_LEAST_BASE_RATIO = 0.3
"""The prior takes b0 to be at least this share of the shortest mean step seen."""
_PRIOR_SPREAD = np.array([3.0, 1.0, 3.0])
"""Standard deviation of each coefficient over its mean: wide enough to cover a CPU and an H200."""


@dataclass(frozen=True, slots=True)
class LawFit:
    """Coefficients (b0 [s], b1 [s], b2 [s/token], b3 [s/token]), their covariance and the residual's relative sd.

    ``largest`` is the longest step time that the fit has seen [s], ``weight`` its intervals, ``seen`` the largest
    n, p and K of load levels seen more than in passing.
    """

    coefficients: tuple[float, float, float, float]
    covariance: Array
    residual_ratio: float
    largest: float
    weight: float
    seen: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def seconds(self, composition: Sequence[float]) -> float:
        """Step time at (n, p, K) [s]."""
        return float(np.dot(self.coefficients, [1.0, *composition]))

    def relative_deviation(self, composition: Sequence[float]) -> float:
        """Standard deviation of the predicted step time at (n, p, K), over the prediction."""
        x = np.array([1.0, *composition])
        return sqrt(max(float(x @ self.covariance @ x), 0.0)) / self.seconds(composition)


class _Cell:
    """Weighted sums of z·z' over samples z = (1, n, p, K, y)."""

    __slots__ = ("sums", "weight")

    def __init__(self) -> None:
        self.weight = 0.0
        self.sums = np.zeros((5, 5))

    def add(self, z: Array, weight: float) -> None:
        self.weight += weight
        self.sums += weight * np.outer(z, z)
        if self.weight > _CELL_WEIGHT:
            self.sums *= _CELL_WEIGHT / self.weight
            self.weight = _CELL_WEIGHT

    def scale_time(self, factor: float) -> None:
        """As if all its samples had taken ``factor`` times as long."""
        stretch = np.array([1.0, 1.0, 1.0, 1.0, factor])
        self.sums *= np.outer(stretch, stretch)

    def mean(self) -> Array:
        """Mean of (1, n, p, K, y)."""
        return np.asarray(self.sums[0] / self.sums[0, 0], dtype=float)


class StepRegression:
    """Learns the law of one engine. Bounded: at most a few hundred cells."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}
        self._largest = 0.0

    def update(self, composition: Sequence[float], seconds: float, weight: float = 1.0) -> None:
        """Take an interval's mean (n, p, K) and its mean step time [s]."""
        cell = self._cells.setdefault(_cell_of(composition), _Cell())
        cell.add(np.array([1.0, *composition, seconds]), weight)
        self._largest = max(self._largest, seconds)

    def known_weight(self, composition: Sequence[float]) -> float:
        """Intervals remembered at a load like this one."""
        cell = self._cells.get(_cell_of(composition))
        return cell.weight if cell is not None else 0.0

    def misfit(self, composition: Sequence[float], fit: LawFit) -> float:
        """Logarithm of the mean step time remembered at a load like this one over what the law says there."""
        cell = self._cells.get(_cell_of(composition))
        if cell is None:
            return 0.0
        mean = cell.mean()
        return log(float(mean[4]) / fit.seconds(mean[1:4].tolist()))

    def scale_time(self, factor: float, keep_ratio: float) -> None:
        """The hardware became ``factor`` times slower: keep the law's shape, with ``keep_ratio`` of its weight."""
        for cell in self._cells.values():
            cell.scale_time(factor)
            cell.sums *= keep_ratio
            cell.weight *= keep_ratio
        self._largest *= factor

    def fade(self, ratio: float) -> None:
        """Keep this share of every cell's weight, and drop cells of which next to nothing is left."""
        for key, cell in list(self._cells.items()):
            cell.sums *= ratio
            cell.weight *= ratio
            if cell.weight < _LEAST_CELL_WEIGHT:
                del self._cells[key]

    def clear(self) -> None:
        """Forget everything."""
        self._cells.clear()
        self._largest = 0.0

    def fit(self, full_load: Sequence[float]) -> LawFit | None:
        """The law, with the prior stated at the composition ``full_load``; ``None`` with under 5 intervals."""
        weight = sum(cell.weight for cell in self._cells.values())
        if weight < 5:
            return None
        stacked = np.array([cell.sums for cell in self._cells.values()])
        means = np.array([cell.mean() for cell in self._cells.values()])
        weights = np.array([cell.weight for cell in self._cells.values()])
        expected, noise, trust = means[:, 4], 0.05**2, np.ones(len(means))
        base = shortest = float(expected.min())
        for turn in range(_ROUNDS):
            if turn >= _PLAIN_ROUNDS:
                trust = _trust(np.log(means[:, 4] / expected), weights)
            sums = (stacked * (trust / expected**2)[:, None, None]).sum(axis=0)
            gram, moment = sums[:4, :4], sums[:4, 4]
            precision, pull = _prior(base, np.array(full_load, dtype=float))
            theta = _nnls(gram / (noise * _CORRELATION) + np.diag(precision), moment / (noise * _CORRELATION) + pull)
            # a fit may well put b0 at 0; a prior that is stated in shares of it must not follow it there
            base = max(theta[0], _LEAST_BASE_RATIO * shortest)
            expected = np.maximum(means[:, :4] @ theta, 1e-6)
            residual = float(sums[4, 4] - 2 * theta @ moment + theta @ gram @ theta) / float(trust @ weights)
            noise = min(max(residual, 0.005**2), 0.3**2)
        covariance = np.linalg.inv(gram / (noise * _CORRELATION) + np.diag(precision))
        b0, b1, b2, b3 = (float(c) for c in theta)
        seen = _seen(means, weights)
        return LawFit((b0, b1, b2, b3), covariance, sqrt(noise), self._largest, weight, seen)

    def dump(self) -> dict[str, object]:
        """State as plain numbers and lists."""
        cells = [[*key, cell.weight, cell.sums[np.triu_indices(5)].tolist()] for key, cell in self._cells.items()]
        return {"largest": self._largest, "cells": cells}

    @classmethod
    def load(cls, state: dict[str, object]) -> StepRegression:
        """The inverse of :meth:`dump`. Raises ValueError, KeyError or TypeError for a state that cannot be one."""
        self = cls()
        self._largest = _finite(state["largest"])
        cells = state["cells"]
        if not isinstance(cells, list) or len(cells) > 2000:
            raise ValueError("cells must be a list of at most 2000")
        for n, p, weight, flat in cells:
            cell = _Cell()
            cell.weight = min(_finite(weight), _CELL_WEIGHT)
            upper = np.zeros((5, 5))
            upper[np.triu_indices(5)] = [_finite(v) for v in flat]
            cell.sums = upper + upper.T - np.diag(np.diag(upper))
            self._cells[int(n), int(p)] = cell
        return self


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < 1e30:
        raise ValueError(f"{number} is no sum of positive numbers")
    return number


def _seen(means: Array, weights: Array) -> tuple[float, float, float]:
    common = means[weights >= min(_COMMON_INTERVALS, float(weights.max()))]
    n, p, k = common[:, 1:4].max(axis=0)
    return float(n), float(p), float(k)


def _trust(misfits: Array, weights: Array) -> Array:
    """Weight of each cell by how far it lies from the law (Huber): a lone pause of the host makes a cell of its own."""
    order = np.argsort(np.abs(misfits))
    cumulative = np.cumsum(weights[order])
    typical = float(np.abs(misfits)[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return np.minimum(1.0, 3 * max(typical, 0.02) / np.maximum(np.abs(misfits), 1e-9))


def _cell_of(composition: Sequence[float]) -> tuple[int, int]:
    """Load level: half-octaves of n, octaves of p in steps of four."""
    n, p, _ = composition
    return round(2 * log2(1 + min(n, 1e6))), round(log2(1 + min(p, 1e6)) / 2)


def _prior(base: float, full_load: Array) -> tuple[Array, Array]:
    """Precision and precision·mean of the prior on the four coefficients."""
    precision, pull = np.zeros(4), np.zeros(4)
    n, _, k = np.maximum(full_load, 1e-9)
    mean = base * np.array([_PRIOR_GROWTH[0] / n, _PRIOR_PREFILL_RATIO, _PRIOR_GROWTH[1] / k])
    precision[1:] = 1 / (_PRIOR_SPREAD * mean) ** 2
    pull[1:] = precision[1:] * mean
    return precision, pull


def _nnls(lhs: Array, rhs: Array) -> Array:
    """Argmin over x ≥ 0 of x'·lhs·x − 2·rhs'·x, scaled for conditioning."""
    scale = 1 / np.sqrt(np.diag(lhs))
    factor = np.linalg.cholesky(lhs * np.outer(scale, scale) + 1e-12 * np.eye(4))
    solution, _ = nnls(factor.T, np.linalg.solve(factor, rhs * scale))
    return np.asarray(solution * scale, dtype=float)
