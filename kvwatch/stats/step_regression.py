"""Step time as a non-negative law of what is in the step, learnt from interval means, with a long memory.

b(n, p, K, φ) = (b0 + W·(1 − (1 − x)ⁿ))·(1−φ) + bp·φ + b1·n + b2·(p + h·n·φ) + b3·K, where φ is the share of steps that
compute prompt tokens. All but the coverage of a mixture's experts (:mod:`kvwatch.stats.expert_coverage`; W = 0 for a
dense model) is linear, so the mean over an interval's steps obeys it. A step with prompt tokens has a base of its own:
arithmetic hides behind reading the weights as long as there is little of it (roofline: Williams, Waterman and
Patterson, CACM 52, 2009), so that the many tokens of a prompt may pay for the reading themselves, and bp is below b0.
The decoding sequences beside them then cost as much as prompt tokens do, which h says; where nothing hides h is 0.
Which x it is, and whether it hides, are hypotheses that the data weigh (:mod:`kvwatch.stats.law_evidence`).

Samples are kept as sufficient statistics in cells by load (n and p, logarithmic), each cell of bounded weight: a
quiet night fills its own cells and takes nothing from those of the afternoon's peak, and within a cell new samples
slowly replace old ones. Errors are relative to the *fitted* step time: relative to the observed one, predicting too
little would cost too little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import log, log2

import numpy as np

from kvwatch.constants import TINY
from kvwatch.stats.expert_coverage import Array
from kvwatch.stats.law_evidence import weigh
from kvwatch.stats.level_rates import Level
from kvwatch.stats.step_hypotheses import hypotheses
from kvwatch.stats.step_law_fit import LawFit

_SIZE = 7
"""Numbers of a sample [1]. Definition: 1, φ, n, p, n·φ, K and y."""
_CELL_WEIGHT = 120.0
"""Intervals that a cell remembers [intervals]. Choice: two minutes at a scrape a second; half follows drivers sooner
and is noisier, double lags."""
_LEAST_CELL_WEIGHT = 0.01
"""Weight below which a cell is dropped [intervals]. Choice: a hundredth of one interval, which a single new one
outweighs."""
_HIGHEST_LEVEL = 64
"""Highest load level that a state file may hold [1]. Choice: above any that a sample can have."""
_LEAST_WEIGHT = 5.0
"""Intervals from which on there is a fit [intervals]. Choice: as many as coefficients; the prior has the rest."""
_COMMON_INTERVALS = 3.0
"""Intervals of a load level from which on it counts as seen [intervals]. Choice: one or two may be a burst."""
_MOST_CELLS = 2000
"""Cells that a state file may hold [cells]. Choice: some times what the levels of n and p make together."""
_LARGEST_SUM = 1e30
"""What no sum of samples reaches [1]. Choice: squares of 10^10 tokens, over a hundred intervals and more."""
_MOST_IN_A_STEP = 1e6
"""Sequences or prompt tokens of a step above which all are one level [tokens]. Choice: no step has as many."""


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

    def join(self, other: _Cell) -> None:
        """Take up another's samples."""
        self.weight += other.weight
        self.sums += other.sums

    def scale_time(self, factor: float) -> None:
        """As if all its samples had taken ``factor`` times as long."""
        stretch = np.array([1.0] * (_SIZE - 1) + [factor])
        self.sums *= np.outer(stretch, stretch)

    def mean(self) -> Array:
        """Mean of (1, φ, n, p, n·φ, K, y)."""
        return np.asarray(self.sums[0] / self.sums[0, 0], dtype=float)

    def level(self) -> Level:
        """Its mean step, and how much sequences a second scatter."""
        _, _, n, p, _, k, seconds = self.mean().tolist()
        apart = np.zeros(_SIZE)
        apart[2], apart[6] = 1 / max(n, TINY), -1 / seconds  # n/n̄ − y/ȳ, the relative residual of their ratio
        variance = float(apart @ self.sums @ apart) / self.sums[0, 0]
        return Level(n, p, k, seconds, max(variance, 0.0) ** 0.5, self.weight)


class StepRegression:
    """Learns the law of one engine. Bounded: at most a few hundred cells."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}
        self.expert_ratio: float | None = None
        """k/E of the model's published configuration: 0 for a dense one, ``None`` where nobody knows."""

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

    def levels(self) -> tuple[Level, ...]:
        """Mean steps by their number of sequences, with whatever prompts were beside them."""
        by_sequences: dict[int, _Cell] = defaultdict(_Cell)
        for (sequences, _), cell in self._cells.items():
            by_sequences[sequences].join(cell)
        return tuple(cell.level() for cell in by_sequences.values())

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
        if weight < _LEAST_WEIGHT:
            return None
        stacked = np.array([cell.sums for cell in self._cells.values()])
        weights = stacked[:, 0, 0]
        found = weigh(stacked, weights, np.array(full_load, dtype=float)[:3], hypotheses(self.expert_ratio))
        seen, largest = _seen(stacked[:, 0, :] / weights[:, None], weights)
        return LawFit(found.parts, found.residual_ratio, largest, weight, seen)

    def dump(self) -> dict[str, object]:
        """State as plain numbers and lists."""
        cells = [[*key, cell.weight, cell.sums[np.triu_indices(_SIZE)].tolist()] for key, cell in self._cells.items()]
        return {"cells": cells}

    @classmethod
    def load(cls, state: dict[str, object]) -> StepRegression:
        """The inverse of :meth:`dump`. Raises ValueError, KeyError or TypeError for a state that cannot be one.

        What is taken are sums that rows at those load levels can have made: no fit has to look at them again.
        """
        self = cls()
        cells = state["cells"]
        if not isinstance(cells, list) or len(cells) > _MOST_CELLS:
            raise ValueError(f"cells must be a list of at most {_MOST_CELLS}")
        for n, p, weight, flat in cells:
            if not all(type(level) is int and 0 <= level <= _HIGHEST_LEVEL for level in (n, p)):
                raise ValueError(f"({n}, {p}) is no load level")
            self._cells[n, p] = _loaded((n, p), _finite(weight), [_finite(v) for v in flat])
        return self


def _loaded(level: tuple[int, int], weight: float, flat: Sequence[float]) -> _Cell:
    """A cell of dumped sums. Raises ValueError for some that no rows can have made."""
    cell = _Cell()
    upper = np.zeros((_SIZE, _SIZE))
    upper[np.triu_indices(_SIZE)] = flat
    cell.sums, cell.weight = upper + upper.T - np.diag(np.diag(upper)), min(weight, _CELL_WEIGHT)
    scale = np.sqrt(np.maximum(np.diag(cell.sums), TINY**2))
    if weight <= 0 or abs(cell.sums[0, 0] / weight - 1) > TINY:
        raise ValueError(f"the weight of load level {level} is not that of its sums")
    if np.linalg.eigvalsh(cell.sums / np.outer(scale, scale))[0] < -TINY:
        raise ValueError(f"the sums of load level {level} are of no rows")
    _, share, n, p, _, _, seconds = cell.mean().tolist()
    off = max(abs(found - said) for found, said in zip(_levels((n, p)), level, strict=True))
    if off > 1 / 2 + TINY or share > 1 + TINY or seconds < TINY:
        raise ValueError(f"the sums of load level {level} are those of another one")
    return cell


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < _LARGEST_SUM:
        raise ValueError(f"{number} is no sum of positive numbers")
    return number


def _seen(means: Array, weights: Array) -> tuple[tuple[float, float, float], float]:
    """The largest n, p and K, and the longest mean step, of load levels seen more than in passing."""
    common = means[weights >= min(_COMMON_INTERVALS, float(weights.max()))]
    n, p, _, k, seconds = (float(largest) for largest in common[:, 2:7].max(axis=0))
    return (n, p, k), seconds


def _cell_of(composition: Sequence[float]) -> tuple[int, int]:
    """Load level: half-octaves of n, octaves of p in steps of four."""
    n, p, _, _ = composition
    at_n, at_p = _levels((n, p))
    return round(at_n), round(at_p)


def _levels(counts: tuple[float, float]) -> tuple[float, float]:
    """The same of n and p, not rounded."""
    n, p = (log2(1 + min(count, _MOST_IN_A_STEP)) for count in counts)
    return 2 * n, p / 2
