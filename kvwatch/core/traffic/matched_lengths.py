"""Single requests that stand for the traffic, made from what the metrics show of it: moments, buckets, memory held.

Where requests that finish together are alike (bursts of one class), sums over scrape intervals scatter in another way
than single requests do, and the second moments that follow are off. Two things do not depend on that and set them
right: how the histograms' buckets fill, and how much memory the requests hold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.demand import block_demand
from kvwatch.queueing.length_mix import BucketCounts, LengthLaws, bucket_variance, synthesize
from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]
Buckets = tuple[BucketCounts | None, BucketCounts | None]
"""How the histograms of prompts and outputs fill, where they are known."""

_MATCHING_ROUNDS = 4
"""Rounds of moving the second moments towards the memory held [rounds]. Choice: E[g] is linear in them, but for
rounding and cut lengths, so each round takes most of what is missing."""
_CLOSE_RATIO = 0.01
"""Relative gap of E[g] to the memory held at which that ends [1]. Choice: the memory held is known to some per cent."""
BUCKETS_COARSE = 1.25
"""Variance allowed over that of lengths spread evenly within their buckets [1]. Choice: buckets are as wide as a factor
of 2.5, so evenly filled ones may have a fifth less variance than the lengths."""
_MOST_CORRELATED = 0.9
"""Largest correlation of prompts and outputs that the memory held may ask for [1]. Choice: beyond it outputs would be a
function of prompts, which no traffic has; the outputs' variance takes the rest."""
_LEAST_VARIANCE_RATIO = 0.1
"""Part of the outputs' variance that is left whatever the memory held asks for [1]. Choice: lengths of one and the same
value would make waves that the traffic has not."""


def matched_lengths(
    moments: PairMoments, buckets: Buckets, held: float | None, sizes: tuple[int, int], max_tokens: float
) -> tuple[Array, Array, Array]:
    """Prompts s, outputs o and g of equally likely requests [tokens, tokens, token·steps].

    They have these means, and second moments with which they hold ``held`` token·steps in the mean, where that is
    known. ``sizes`` are those of blocks and prompt chunks, ``max_tokens`` is the longest request [tokens].
    """
    moments, laws = unclustered(moments, buckets, max_tokens), LengthLaws.of(*buckets, max_tokens)
    s, o = synthesize(moments, laws)
    g = block_demand(s, o, *sizes)
    for _ in range(_MATCHING_ROUNDS):
        missing = 0.0 if held is None else held - float(g.mean())
        if moments.var_o <= 0 or abs(missing) < _CLOSE_RATIO * float(g.mean()):
            break
        moments = _moved(moments, missing)
        s, o = synthesize(moments, laws)
        g = block_demand(s, o, *sizes)
    return s, o, g


def plausible_lengths(moments: PairMoments, buckets: Buckets, max_tokens: float) -> tuple[Array, Array]:
    """Prompts and outputs [tokens] with these moments, as far as the buckets allow them."""
    return synthesize(unclustered(moments, buckets, max_tokens), LengthLaws.of(*buckets, max_tokens))


def unclustered(moments: PairMoments, buckets: Buckets, max_tokens: float) -> PairMoments:
    """Variances no larger than the histograms allow, and the covariance in proportion."""
    scales = []
    for variance, counts in zip((moments.var_s, moments.var_o), buckets, strict=True):
        spread = bucket_variance(counts, max_tokens)
        small = spread is None or variance <= BUCKETS_COARSE * spread
        scales.append(1.0 if small or spread is None else BUCKETS_COARSE * spread / variance)
    return replace(
        moments,
        var_s=moments.var_s * scales[0],
        var_o=moments.var_o * scales[1],
        cov=moments.cov * (scales[0] * scales[1]) ** 0.5,
    )


def _moved(moments: PairMoments, missing: float) -> PairMoments:
    """Second moments with which E[g], that holds Cov(s, o) once and Var(o) half, changes by ``missing``.

    The covariance is the least sure and takes what it can; the variance of the outputs takes the rest.
    """
    most = _MOST_CORRELATED * (moments.var_s * moments.var_o) ** 0.5
    cov = min(max(moments.cov + missing, -most), most)
    rest = missing - (cov - moments.cov)
    return replace(moments, cov=cov, var_o=max(moments.var_o + 2 * rest, _LEAST_VARIANCE_RATIO * moments.var_o))
