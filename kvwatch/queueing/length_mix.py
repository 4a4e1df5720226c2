"""A pool of (s, o) pairs that stands for the traffic, made from histograms and moments where no log shows pairs.

The marginals take their shape from the cumulative histograms (linear inside a bucket) and their exact mean and
variance from the moments; the pairs are coupled by a Gaussian copula that reproduces the covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]

POOL_SIZE = 128


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """Observations by bucket: upper ``edges`` (the last may be infinite) and the ``counts`` between them."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]


def synthesize(
    moments: PairMoments, prompt: BucketCounts | None, output: BucketCounts | None, max_tokens: float
) -> tuple[Array, Array]:
    """Prompt and output lengths of ``POOL_SIZE`` equally likely requests [tokens], whole numbers of at least 1.

    ``max_tokens`` bounds each length. Deterministic: the same inputs give the same pool.
    """
    u, z1, z2 = _normals()
    s = _with_moments(_quantiles(prompt, u, max_tokens), moments.mean_s, moments.var_s, max_tokens)
    # the marginal of o is attached to ranks: sorted values go to the requests in the order of the coupled normals
    o_sorted = _with_moments(_quantiles(output, u, max_tokens), moments.mean_o, moments.var_o, max_tokens)
    spread = sqrt(moments.var_s * moments.var_o)
    target = min(max(moments.cov / spread, -0.95), 0.95) if spread > 0 else 0.0
    s_by_request = _by_rank(s, z1)
    low, high = -1.0, 1.0
    for _ in range(20):
        rho = (low + high) / 2
        o_by_request = _by_rank(o_sorted, rho * z1 + sqrt(1 - rho * rho) * z2)
        if _correlation(s_by_request, o_by_request) < target:
            low = rho
        else:
            high = rho
    return np.maximum(np.rint(s_by_request), 1.0), np.maximum(np.rint(o_by_request), 1.0)


@cache
def _normals() -> tuple[Array, Array, Array]:
    """Ranks in (0, 1), and two independent standard normals for each request, from an R2 low-discrepancy sequence."""
    i = np.arange(POOL_SIZE)
    plastic = 1.324717957244746
    u = (i + 0.5) / POOL_SIZE
    first, second = np.mod(0.5 + (i + 1) / plastic, 1.0), np.mod(0.5 + (i + 1) / plastic**2, 1.0)
    return u, ndtri(first), ndtri(second)


def _by_rank(values_sorted: Array, key: Array) -> Array:
    """``values_sorted`` rearranged so that they have the ranks of ``key``."""
    out = np.empty_like(values_sorted)
    out[np.argsort(key, kind="stable")] = values_sorted
    return out


def _correlation(a: Array, b: Array) -> float:
    da, db = a - a.mean(), b - b.mean()
    power = sqrt(float(da @ da) * float(db @ db))
    return float(da @ db) / power if power > 0 else 0.0


def _quantiles(buckets: BucketCounts | None, u: Array, max_tokens: float) -> Array:
    """Values at the ranks ``u``, sorted; an exponential law where there is no histogram."""
    if buckets is None or sum(buckets.counts) <= 0:
        return np.asarray(-np.log1p(-u), dtype=float)
    finite = [e for e in buckets.edges if isfinite(e)]
    # vLLM's edges run 1, 2, 5, 10 …: what lies beyond the last is short of the next one or two
    beyond = min(max_tokens, 2.5 * finite[-1]) if finite else min(max_tokens, 1.0)
    edges = finite + [max(beyond, finite[-1] if finite else 1.0)] * (len(buckets.edges) - len(finite))
    cumulative = np.concatenate([[0.0], np.cumsum(buckets.counts)]) / sum(buckets.counts)
    values = np.maximum.accumulate(np.array([0.0, *edges]))
    # np.interp needs rising ranks: an empty bucket adds no width to the law
    ranks = cumulative + np.arange(len(cumulative)) * 1e-12
    return np.asarray(np.interp(u, ranks, values), dtype=float)


def bucket_variance(buckets: BucketCounts | None, max_tokens: float) -> float | None:
    """Variance of the lengths if they lie evenly within their buckets [tokens²]; ``None`` without observations."""
    if buckets is None or sum(buckets.counts) <= 0:
        return None
    ranks = (np.arange(512) + 0.5) / 512
    return float(_quantiles(buckets, ranks, max_tokens).var())


def _with_moments(values: Array, mean: float, variance: float, max_tokens: float) -> Array:
    """``values`` stretched to this mean and variance, each kept within [1, max_tokens]."""
    spread = sqrt(max(variance, 0.0))
    for _ in range(4):
        deviation = float(values.std())
        values = mean + (values - values.mean()) * (spread / deviation if deviation > 0 else 0.0)
        values = np.clip(values, 1.0, max(max_tokens, 1.0))
    return values


def accumulate(
    before: BucketCounts | None, rises: Sequence[float], edges: Sequence[float], keep: float
) -> BucketCounts:
    """Bucket counts with new observations added and the old ones' weight cut to ``keep``; other edges start anew."""
    if before is None or before.edges != tuple(edges):
        return BucketCounts(tuple(edges), tuple(rises))
    return BucketCounts(before.edges, tuple(keep * b + r for b, r in zip(before.counts, rises, strict=True)))
