"""Lengths of the requests that arrive, from those that finish while the number in flight grows or falls.

Over a window in which the requests in flight grow by ΔN, those that finished are not those that arrived: who is still
inside is so with a probability that grows with the output length o, so that long requests are missing (and too many of
them finish while the engine drains). What is inside at either end has the length-biased law o·f(o)/E[o] (renewal
theory), so of D finished requests the law is ((D + ΔN)·f(o) − ΔN·o·f(o)/E[o])/D, and f follows by weighting each
finished request with 1/(1 + ε·(1 − o/E[o])), ε = ΔN/D. ΔN shows in the tokens that were generated and have not
finished: a request inside has made E[o²]/(2·E[o]) of its own in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]

_WEIGHING_ROUNDS = 3
"""Rounds of weighing [rounds]. Choice: E[o] is itself corrected; each round leaves a tenth of the error."""
_MOST_GROWTH = 0.5
"""Largest |ε| that is corrected for [1]. Choice: with fewer than two requests finished for each still inside the sample
says too little of long ones for a weight to mend."""
_MEAN_REST = 1 / 3
"""∫ over a request's life of the work that is left, for each o³ [1]. Definition: the mean square of a uniform age."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """What a window shows of requests in flight.

    ``finished`` is D, ``unfinished_tokens`` what was generated less what finished requests had generated (negative
    where the engine drains), ``running`` the requests inside at its end, as many as can have been added.
    """

    finished: float
    unfinished_tokens: float
    running: float

    def growth_ratio(self, output: Array, weights: Array) -> float:
        """ε = ΔN/D for finished requests of these output lengths, each of such a weight [1]."""
        mean, square = float(weights @ output), float(weights @ (output * output))
        if self.finished <= 0 or square <= 0:
            return 0.0
        added = self.unfinished_tokens / (square / (2 * mean))
        return min(max(min(added, self.running) / self.finished, -_MOST_GROWTH), _MOST_GROWTH)


def arrived_weights(output: Array, inside: InFlight) -> tuple[Array, float]:
    """Weight of each equally likely finished request among the arrived, adding up to 1, and ε."""
    weights = np.full(len(output), 1 / len(output))
    growth = 0.0
    for _ in range(_WEIGHING_ROUNDS):
        growth = inside.growth_ratio(output, weights)
        mean = float(weights @ output)
        weights = 1 / np.maximum(1 + growth * (1 - output / mean), _MOST_GROWTH)
        weights /= weights.sum()
    return weights, growth


def arrived_moments(finished: PairMoments, prompt: Array, output: Array, weights: Array) -> PairMoments:
    """Moments of the arrived from those of the finished, by how ``weights`` move those of a sample with their shape."""
    even = np.full(len(output), 1 / len(output))
    s0, o0, vs0, vo0, c0 = _moments(prompt, output, even)
    s1, o1, vs1, vo1, c1 = _moments(prompt, output, weights)
    return replace(
        finished,
        mean_s=finished.mean_s * s1 / s0,
        mean_o=finished.mean_o * o1 / o0,
        var_s=finished.var_s * (vs1 / vs0 if vs0 > 0 else 1.0),
        var_o=finished.var_o * (vo1 / vo0 if vo0 > 0 else 1.0),
        cov=finished.cov + c1 - c0,
    )


def occupancy_ratio(prompt: Array, output: Array, weights: Array, growth: float) -> float:
    """Memory-work per generated token of whole requests over that of a window in which ΔN of them remain inside [1].

    What is inside is young, and so holds less for each token than it will: on the last of a request's tokens rests all
    that it holds.
    """
    mean_o = float(weights @ output)
    work = float(weights @ (prompt * output + output * output / 2))
    rest_o = float(weights @ (output * output)) / (2 * mean_o)
    rest_work = float(weights @ (prompt * output**2 / 2 + _MEAN_REST * output**3)) / mean_o
    arrived = 1 + growth
    seen = (arrived * work - growth * rest_work) / (arrived * mean_o - growth * rest_o)
    return (work / mean_o) / seen


def _moments(s: Array, o: Array, weights: Array) -> tuple[float, float, float, float, float]:
    mean_s, mean_o = float(weights @ s), float(weights @ o)
    ds, do = s - mean_s, o - mean_o
    return mean_s, mean_o, float(weights @ (ds * ds)), float(weights @ (do * do)), float(weights @ (ds * do))
