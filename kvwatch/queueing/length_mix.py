"""A pool of (s, o) pairs that stands for the traffic, made from histograms and moments where no log shows pairs.

The marginals take their shape from the cumulative histograms (linear inside a bucket) and their exact mean and
variance from the moments; the pairs are coupled by a Gaussian copula that reproduces the covariance.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.stats.group_moments import PairMoments
from kvwatch.stats.normal import normal_quantiles

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.intp]

POOL_SIZE = 128
"""Requests that stand for the traffic where no log shows any [requests]. Choice: the mean of g is right within the 1%
at which the mix is made again; double doubles the time of each making."""
_RANKS: Array = (np.arange(POOL_SIZE) + 0.5) / POOL_SIZE
"""Equally likely ranks of the requests [1]. Definition: the middles of the parts in probability."""
_CORRELATIONS = 513
"""Couplings among which the one with the wanted covariance is sought [1]. Choice: correlations from −1 to 1 in steps of
1/256, finer than the correlation of some hundred requests is known (1/√100)."""
_MOST_CORRELATED = 0.95
"""Largest correlation of prompts and outputs that is made [1]. Choice: moments of few groups can show 1 and more, with
which the pool would have but one request of each length."""
_PLASTIC = 1.324717957244746
"""Plastic number, the real root of x³ = x + 1 [1]. Definition: its powers make the R2 sequence of low discrepancy."""
_BEYOND_EDGES_RATIO = 2.5
"""Where the bucket beyond the last finite edge ends, over that edge [1]. Choice: vLLM's edges run 1, 2, 5, 10, …, and
one step is a ratio of 2 or 2.5."""
_LEAST_WIDTH = 1e-12
"""Rank that an empty bucket takes [1]. Choice: far below 1/128; without it two values would have one rank."""
_ROUNDS = 4
"""Rounds in which lengths that fell below 1 or above the longest are moved back and the variance is met again [rounds].
Choice: of lognormal lengths in vLLM's buckets the variance is then within 5% in 95 of 100; with half in 12%, with
double in 1.3%."""


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """Observations by bucket: upper ``edges`` (the last may be infinite) and the ``counts`` between them."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LengthLaws:
    """Shapes of the two marginals: equally likely prompt and output lengths, rising, and their longest [tokens]."""

    prompt: Array
    output: Array
    max_tokens: float

    @classmethod
    def of(cls, prompt: BucketCounts | None, output: BucketCounts | None, max_tokens: float) -> LengthLaws:
        """The shapes that histograms show."""
        return cls(_quantiles(prompt, _RANKS, max_tokens), _quantiles(output, _RANKS, max_tokens), max_tokens)


def synthesize(moments: PairMoments, laws: LengthLaws) -> tuple[Array, Array]:
    """Prompt and output lengths of ``POOL_SIZE`` equally likely requests [tokens], whole numbers of at least 1.

    Deterministic: the same inputs give the same pool.
    """
    ranks_s, ranks_o = _couplings()
    s = _with_moments(laws.prompt, moments.mean_s, moments.var_s, laws.max_tokens)
    o = _with_moments(laws.output, moments.mean_o, moments.var_o, laws.max_tokens)
    spread = sqrt(moments.var_s * moments.var_o)
    target = min(max(moments.cov / spread, -_MOST_CORRELATED), _MOST_CORRELATED) if spread > 0 else 0.0
    by_request, centred = s[ranks_s], o - o.mean()
    # a rearrangement changes neither mean nor variance: only the product has to be looked at
    from_mean = by_request - by_request.mean()
    product = target * sqrt(float(from_mean @ from_mean) * float(centred @ centred))
    coupling = bisect_left(ranks_o, product, key=lambda ranks: float(from_mean @ centred[ranks]))
    o_by_request = o[ranks_o[min(coupling, len(ranks_o) - 1)]]
    return np.maximum(np.rint(by_request), 1.0), np.maximum(np.rint(o_by_request), 1.0)


def covariance_limits(moments: PairMoments, laws: LengthLaws) -> tuple[float, float]:
    """Least and largest covariance that lengths of these shapes, means and variances can have [tokens²].

    The longest prompts have the shortest outputs in the one, the longest in the other (Fréchet and Hoeffding).
    """
    s = _with_moments(laws.prompt, moments.mean_s, moments.var_s, laws.max_tokens)
    o = _with_moments(laws.output, moments.mean_o, moments.var_o, laws.max_tokens)
    apart = float(s.mean() * o.mean())
    return float(s @ o[::-1]) / len(s) - apart, float(s @ o) / len(s) - apart


@cache
def _couplings() -> tuple[Ranks, list[Ranks]]:
    """Rank of each request's prompt, and of its output for each correlation of the normals from -1 to 1.

    The two normals are independent and come from an R2 low-discrepancy sequence.
    """
    i = np.arange(POOL_SIZE) + 1
    first, second = (normal_quantiles(np.mod(0.5 + i / step, 1.0)) for step in (_PLASTIC, _PLASTIC**2))
    coupled = [_ranks(rho * first + sqrt(1 - rho * rho) * second) for rho in np.linspace(-1.0, 1.0, _CORRELATIONS)]
    return _ranks(first), coupled


def _ranks(key: Array) -> Ranks:
    ranks = np.empty(len(key), dtype=np.intp)
    ranks[np.argsort(key, kind="stable")] = np.arange(len(key))
    return ranks


def _quantiles(buckets: BucketCounts | None, u: Array, max_tokens: float) -> Array:
    """Values at the ranks ``u``, sorted; an exponential law where there is no histogram."""
    if buckets is None or sum(buckets.counts) <= 0:
        return np.asarray(-np.log1p(-u), dtype=float)
    values = _finite_edges(buckets, max_tokens)
    cumulative = np.concatenate([[0.0], np.cumsum(buckets.counts)]) / sum(buckets.counts)
    # np.interp needs rising ranks: an empty bucket adds no width to the law
    ranks = cumulative + np.arange(len(cumulative)) * _LEAST_WIDTH
    return np.asarray(np.interp(u, ranks, values), dtype=float)


def _finite_edges(buckets: BucketCounts, max_tokens: float) -> Array:
    """0 and the buckets' upper edges, none of them infinite, never falling."""
    finite = [e for e in buckets.edges if isfinite(e)]
    # vLLM's edges run 1, 2, 5, 10 …: what lies beyond the last is short of the next one or two
    beyond = min(max_tokens, _BEYOND_EDGES_RATIO * finite[-1]) if finite else min(max_tokens, 1.0)
    edges = finite + [max(beyond, finite[-1] if finite else 1.0)] * (len(buckets.edges) - len(finite))
    return np.maximum.accumulate(np.array([0.0, *edges]))


def bucket_variance(buckets: BucketCounts | None, max_tokens: float) -> float | None:
    """Variance of the lengths if they lie evenly within their buckets [tokens²]; ``None`` without observations."""
    if buckets is None or sum(buckets.counts) <= 0:
        return None
    edges, counts = _finite_edges(buckets, max_tokens), np.asarray(buckets.counts)
    low, high = edges[:-1], edges[1:]
    mean = float(counts @ (low + high)) / 2 / float(counts.sum())
    square = float(counts @ (low * low + low * high + high * high)) / 3 / float(counts.sum())
    return max(square - mean * mean, 0.0)


def _with_moments(values: Array, mean: float, variance: float, max_tokens: float) -> Array:
    """Sorted ``values`` stretched to this mean and variance, each kept within [1, max_tokens]."""
    spread = sqrt(max(variance, 0.0))
    low, high = 1.0, max(max_tokens, 1.0)
    for _ in range(_ROUNDS):
        centred = values - values.mean()
        deviation = sqrt(float(centred @ centred) / len(centred))
        values = mean + centred * (spread / deviation if deviation > 0 else 0.0)
        if values[0] >= low and values[-1] <= high:  # they are sorted
            break
        values = np.minimum(np.maximum(values, low), high)
    return values


def accumulate(
    before: BucketCounts | None, rises: Sequence[float], edges: Sequence[float], keep: float
) -> BucketCounts:
    """Bucket counts with new observations added and the old weights cut to ``keep``; to 0 where edges differ."""
    if before is None or before.edges != tuple(edges):
        return BucketCounts(tuple(edges), tuple(rises))
    return BucketCounts(before.edges, tuple([keep * b + r for b, r in zip(before.counts, rises, strict=True)]))
