"""Step time as a non-negative linear law of what is in the step, learnt from interval means, with a long memory.

b(n, p, K, φ) = b0·(1−φ) + bp·φ + b1·n + b2·(p + h·n·φ) + b3·K, where φ is the share of steps that compute prompt
tokens, is linear, so the mean over an interval's steps obeys it. A step with prompt tokens has a base of its own:
arithmetic hides behind reading the weights as long as there is little of it (roofline: Williams, Waterman and
Patterson, CACM 52, 2009), so that the many tokens of a prompt pay for the reading themselves, and bp is below b0. The
decoding sequences beside them then cost as much as prompt tokens do, which h says; where bp is not below b0 nothing
hides, and h is 0.

Samples are kept as sufficient statistics in cells by load (n and p, logarithmic), each cell of bounded weight: a
quiet night fills its own cells and takes nothing from those of the afternoon's peak, and within a cell new samples
slowly replace old ones. The fit is least squares on errors relative to the *fitted* step time (relative to the
observed one, predicting too little would cost too little), with a weak Gaussian prior (Bayesian linear regression),
the coefficients kept non-negative (Lawson and Hanson, NNLS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log2, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.stats.nonnegative import nnls

Array = npt.NDArray[np.float64]

_SIZE = 7
_CELL_WEIGHT = 120.0
"""Intervals that a cell remembers."""
_LEAST_CELL_WEIGHT = 0.01
_HIGHEST_LEVEL = 64
_PLAIN_ROUNDS, _ROUNDS = 3, 6
"""Fits, each weighted by the one before; the last ones distrust cells that do not fit in with the others."""
_SETTLED_RATIO = 1e-4
_COMMON_INTERVALS = 3.0
_CORRELATION = 2.0
"""Neighbouring intervals resemble each other: as many of them say as much as one independent one."""
_PRIOR_GROWTH = np.array([1.0, 1.0])
"""Growth of the step from empty to full by sequences and by resident tokens, as shares of b0: reading a full KV cache
takes as long as reading the weights where the two are of a size."""
_PRIOR_PREFILL_RATIO = 0.007
"""Time of one prefill token as a share of b0: reading the weights once takes as long as computing some hundred and
forty tokens. That is the machine's balance of arithmetic and bandwidth: 60 to 300 tokens on anything that vLLM runs
on, by the data sheets."""
_LEAST_BASE_RATIO = 0.3
"""The prior takes b0 to be at least this share of the shortest mean step seen."""
_PRIOR_SPREAD = np.array([3.0, 0.6, 3.0])
"""Standard deviation of each coefficient over its mean: wide enough to cover a CPU and an H200. Prompts of one length
do not tell b2 from bp; the machine's balance is the surer of the two."""
_PREFILL_BASE_RATIO, _PREFILL_BASE_SPREAD = 1.0, 0.8
"""bp over b0 where nothing is known, and its standard deviation: a quarter where all but the host's time hides, a
little over 1 where steps with prompts run without a CUDA graph."""
_LARGEST_PREFILL_BASE_RATIO = 1.15
"""What bp is more than that above b0 is a slope that was not understood."""
_HIDDEN_RATIO = 0.7
"""(b0 − bp)/b0 from which on arithmetic hides as well as it can."""
_OVERLAP_RATIO = 0.85
"""Share of the shorter one of reading weights and computing that the longer one hides."""


@dataclass(frozen=True, slots=True)
class LawFit:
    """Coefficients (b0 [s], b1 [s], b2 [s/token], b3 [s/token]), and bp [s], the base of steps with prompt tokens.

    ``covariance`` is of (b0, bp, b1, b2, b3), ``residual_ratio`` the residual's relative sd, ``largest`` the longest
    mean step time of such levels [s], ``weight`` its intervals, ``seen`` the largest n, p and K of load levels seen
    more than in passing.
    """

    coefficients: tuple[float, float, float, float]
    prefill_base_seconds: float
    covariance: Array
    residual_ratio: float
    largest: float
    weight: float
    seen: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def hidden_ratio(self) -> float:
        """How far arithmetic hides behind reading the weights: 0 not at all, 1 as well as it can."""
        return _hidden(self.coefficients[0], self.prefill_base_seconds)

    def seconds(self, composition: Sequence[float]) -> float:
        """Mean step time at (n, p, K, φ) [s].

        Steps without prompt tokens, too, take longer once their sequences need more arithmetic than reading the
        weights hides; as far as that has been seen it is in b1.
        """
        n, p, k, share = composition
        b0, b1, b2, b3 = self.coefficients
        bp, hidden, per_sequence = self.prefill_base_seconds, self.hidden_ratio, _OVERLAP_RATIO * b2
        # in plain numbers, as this is asked for at each scrape, and arrays of five are slow
        seconds = b0 * (1 - share) + bp * share + b1 * n + b2 * p + hidden * per_sequence * n * share + b3 * k
        if not hidden or not per_sequence:
            return seconds
        hiding = max((b0 - bp) / per_sequence, self.seen[0])
        return seconds + (1 - share) * hidden * per_sequence * max(n - hiding, 0.0)

    def regressors(self, composition: Sequence[float]) -> Array:
        """What the five coefficients of :attr:`covariance` are multiplied with at (n, p, K, φ)."""
        n, p, k, share = composition
        return np.array([1.0, share, n, p, n * share, k]) @ _regressors(self.hidden_ratio)

    def relative_deviation(self, composition: Sequence[float]) -> float:
        """Standard deviation of the predicted step time at (n, p, K, φ), over the prediction."""
        x = self.regressors(composition)
        return sqrt(max(float(x @ self.covariance @ x), 0.0)) / self.seconds(composition)


class _Cell:
    """Weighted sums of z·z' over samples z = (1, φ, n, p, n·φ, K, y)."""

    __slots__ = ("sums", "weight")

    def __init__(self) -> None:
        self.weight = 0.0
        self.sums = np.zeros((_SIZE, _SIZE))

    def add(self, z: Array, weight: float) -> None:
        self.weight += weight
        self.sums += (weight * z)[:, None] * z
        if self.weight > _CELL_WEIGHT:
            self.sums *= _CELL_WEIGHT / self.weight
            self.weight = _CELL_WEIGHT

    def scale_time(self, factor: float) -> None:
        """As if all its samples had taken ``factor`` times as long."""
        stretch = np.array([1.0] * (_SIZE - 1) + [factor])
        self.sums *= np.outer(stretch, stretch)

    def mean(self) -> Array:
        """Mean of (1, φ, n, p, n·φ, K, y)."""
        return np.asarray(self.sums[0] / self.sums[0, 0], dtype=float)


class StepRegression:
    """Learns the law of one engine. Bounded: at most a few hundred cells."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}

    def update(self, composition: Sequence[float], seconds: float, weight: float = 1.0) -> None:
        """Take an interval's mean (n, p, K, φ) and its mean step time [s]."""
        n, p, k, share = composition
        cell = self._cells.setdefault(_cell_of(composition), _Cell())
        cell.add(np.array([1.0, share, n, p, n * share, k, seconds]), weight)

    def known_weight(self, composition: Sequence[float]) -> float:
        """Intervals remembered at a load like this one."""
        cell = self._cells.get(_cell_of(composition))
        return cell.weight if cell is not None else 0.0

    def misfit(self, composition: Sequence[float], fit: LawFit) -> float:
        """Logarithm of the mean step time remembered at a load like this one over what the law says there."""
        cell = self._cells.get(_cell_of(composition))
        if cell is None:
            return 0.0
        _, share, n, p, _, k, seconds = cell.mean().tolist()
        return log(seconds / fit.seconds((n, p, k, share)))

    def scale_time(self, factor: float, keep_ratio: float) -> None:
        """The hardware became ``factor`` times slower: keep the law's shape, with ``keep_ratio`` of its weight."""
        for cell in self._cells.values():
            cell.scale_time(factor)
            cell.sums *= keep_ratio
            cell.weight *= keep_ratio

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

    def fit(self, full_load: Sequence[float]) -> LawFit | None:
        """The law, with the prior stated at the composition ``full_load``; ``None`` with under 5 intervals."""
        weight = sum(cell.weight for cell in self._cells.values())
        if weight < 5:
            return None
        stacked = np.array([cell.sums for cell in self._cells.values()])
        means = np.array([cell.mean() for cell in self._cells.values()])
        weights = np.array([cell.weight for cell in self._cells.values()])
        expected, noise, trust = means[:, -1], 0.05**2, np.ones(len(means))
        base = shortest = float(expected.min())
        shape = _regressors(0.0)
        for turn in range(_ROUNDS):
            if turn >= _PLAIN_ROUNDS:
                trust = _trust(np.log(means[:, -1] / expected), weights)
            sums = (stacked * (trust / expected**2)[:, None, None]).sum(axis=0)
            gram, moment = shape.T @ sums[:-1, :-1] @ shape, shape.T @ sums[:-1, -1]
            precision, pull = _prior(base, np.array(full_load, dtype=float))
            theta = _solve(gram / (noise * _CORRELATION) + precision, moment / (noise * _CORRELATION) + pull)
            # a fit may well put b0 at 0; a prior that is stated in shares of it must not follow it there
            base = max(theta[0], _LEAST_BASE_RATIO * shortest)
            before, expected = expected, np.maximum(means[:, :-1] @ shape @ theta, 1e-6)
            residual = float(sums[-1, -1] - 2 * theta @ moment + theta @ gram @ theta) / float(trust @ weights)
            noise = min(max(residual, 0.005**2), 0.3**2)
            if turn > _PLAIN_ROUNDS and float(np.abs(expected / before - 1).max()) < _SETTLED_RATIO:
                break
            shape = _regressors(_hidden(base, float(theta[1])))
        covariance = np.linalg.inv(gram / (noise * _CORRELATION) + precision)
        b0, bp, b1, b2, b3 = (float(c) for c in theta)
        seen, largest = _seen(means, weights)
        return LawFit((b0, b1, b2, b3), bp, covariance, sqrt(noise), largest, weight, seen)

    def dump(self) -> dict[str, object]:
        """State as plain numbers and lists."""
        cells = [[*key, cell.weight, cell.sums[np.triu_indices(_SIZE)].tolist()] for key, cell in self._cells.items()]
        return {"cells": cells}

    @classmethod
    def load(cls, state: dict[str, object]) -> StepRegression:
        """The inverse of :meth:`dump`. Raises ValueError, KeyError or TypeError for a state that cannot be one."""
        self = cls()
        cells = state["cells"]
        if not isinstance(cells, list) or len(cells) > 2000:
            raise ValueError("cells must be a list of at most 2000")
        for n, p, weight, flat in cells:
            cell = _Cell()
            cell.weight = min(_finite(weight), _CELL_WEIGHT)
            upper = np.zeros((_SIZE, _SIZE))
            upper[np.triu_indices(_SIZE)] = [_finite(v) for v in flat]
            cell.sums = upper + upper.T - np.diag(np.diag(upper))
            if not all(isinstance(level, int) and 0 <= level <= _HIGHEST_LEVEL for level in (n, p)):
                raise ValueError(f"({n}, {p}) is no load level")
            self._cells[n, p] = cell
        return self


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < 1e30:
        raise ValueError(f"{number} is no sum of positive numbers")
    return number


def _seen(means: Array, weights: Array) -> tuple[tuple[float, float, float], float]:
    """The largest n, p and K, and the longest mean step, of load levels seen more than in passing."""
    common = means[weights >= min(_COMMON_INTERVALS, float(weights.max()))]
    n, p, _, k, seconds = (float(largest) for largest in common[:, 2:7].max(axis=0))
    return (n, p, k), seconds


def _trust(misfits: Array, weights: Array) -> Array:
    """Weight of each cell by how far it lies from the law (Huber): a lone pause of the host makes a cell of its own."""
    order = np.argsort(np.abs(misfits))
    cumulative = np.cumsum(weights[order])
    typical = float(np.abs(misfits)[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return np.minimum(1.0, 3 * max(typical, 0.02) / np.maximum(np.abs(misfits), 1e-9))


def _cell_of(composition: Sequence[float]) -> tuple[int, int]:
    """Load level: half-octaves of n, octaves of p in steps of four."""
    n, p, _, _ = composition
    return round(2 * log2(1 + min(n, 1e6))), round(log2(1 + min(p, 1e6)) / 2)


def _hidden(base: float, prefill_base: float) -> float:
    return min(max((base - prefill_base) / max(_HIDDEN_RATIO * base, 1e-12), 0.0), 1.0)


def _regressors(hidden_ratio: float) -> Array:
    """Matrix from (1, φ, n, p, n·φ, K) to what (b0, bp, b1, b2, b3) are multiplied with."""
    matrix = np.zeros((_SIZE - 1, 5))
    matrix[0, 0], matrix[1, 0], matrix[1, 1] = 1.0, -1.0, 1.0
    matrix[2, 2] = matrix[3, 3] = matrix[5, 4] = 1.0
    matrix[4, 3] = _OVERLAP_RATIO * hidden_ratio
    return matrix


def _prior(base: float, full_load: Array) -> tuple[Array, Array]:
    """Precision and precision·mean of the prior on (b0, bp, b1, b2, b3); of the first two only the ratio is known."""
    precision, pull = np.zeros((5, 5)), np.zeros(5)
    n, _, k = np.maximum(full_load, 1e-9)
    mean = base * np.array([_PRIOR_GROWTH[0] / n, _PRIOR_PREFILL_RATIO, _PRIOR_GROWTH[1] / k])
    sure = 1 / (_PRIOR_SPREAD * mean) ** 2
    precision[2:, 2:] = np.diag(sure)
    pull[2:] = sure * mean
    sure_ratio = 1 / (_PREFILL_BASE_SPREAD * base) ** 2
    precision[0, 0] = _PREFILL_BASE_RATIO**2 * sure_ratio
    precision[0, 1] = precision[1, 0] = -_PREFILL_BASE_RATIO * sure_ratio
    precision[1, 1] = sure_ratio
    return precision, pull


def _solve(lhs: Array, rhs: Array) -> Array:
    """The non-negative solution, with bp no more than a little above b0."""
    theta = _nnls(lhs, rhs)
    if theta[1] <= _LARGEST_PREFILL_BASE_RATIO * theta[0]:
        return theta
    tied = np.zeros((5, 4))
    tied[0, 0], tied[1, 0] = 1.0, _LARGEST_PREFILL_BASE_RATIO
    tied[2:, 1:] = np.eye(3)
    return np.asarray(tied @ _nnls(tied.T @ lhs @ tied, tied.T @ rhs), dtype=float)


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
