"""Single requests that stand for the traffic, made from what the metrics show of it: moments, buckets, memory held.

Where requests that finish together are alike (bursts of one class), sums over scrape intervals scatter in another way
than single requests do, and the second moments that follow are off. Two things do not depend on that and set them
right: how the histograms' buckets fill, and how much memory the requests hold.
"""

from __future__ import annotations

from dataclasses import replace
from math import copysign, inf, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.demand import block_demand
from kvwatch.queueing.length_mix import BucketCounts, LengthLaws, bucket_variance, covariance_limits, synthesize
from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]
Buckets = tuple[BucketCounts | None, BucketCounts | None]
"""How the histograms of prompts and outputs fill, where they are known."""

_CLOSE_RATIO = 0.01
"""Relative gap of E[g] to the memory held below which nothing is moved [1]. Choice: the memory held is known to some
per cent."""
BUCKETS_COARSE = 1.25
"""Variance allowed over that of lengths spread evenly within their buckets [1]. Choice: buckets are as wide as a factor
of 2.5, so evenly filled ones may have a fifth less variance than the lengths."""
_MOST_CORRELATED = 0.9
"""Largest correlation of prompts and outputs that the memory held may ask for [1]. Choice: beyond it outputs would be a
function of prompts, which no traffic has; the outputs' deviation takes the rest."""
_PLAUSIBLE_CORRELATION = 0.5
"""Correlation of prompts and outputs up to which nobody asks whether lengths can have it [1]. Choice: lengths spread as
wide as their means can have it; looking costs as much as a tenth of the lengths themselves."""
_LEAST_VARIANCE_RATIO = 0.1
"""Part of the outputs' variance, as the metrics show it, that is left whatever the memory held asks for [1]. Choice:
lengths of one and the same value would make waves that the traffic has not."""


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
    if held is None or moments.var_o <= 0:
        return s, o, g
    missing = held - float(g.mean())
    if abs(missing) < _CLOSE_RATIO * float(g.mean()):
        return s, o, g
    spread = bucket_variance(buckets[1], max_tokens)
    possible = _LEAST_VARIANCE_RATIO * moments.var_o, inf if spread is None else BUCKETS_COARSE * spread
    # E[g] is linear in the second moments but for rounding and cut lengths: one move takes what there is to take
    moved_s, moved_o = synthesize(_moved(moments, missing, possible), laws)
    moved_g = block_demand(moved_s, moved_o, *sizes)
    # lengths in these buckets may not be as correlated as asked for
    nearer = abs(held - float(moved_g.mean())) < abs(missing)
    return (moved_s, moved_o, moved_g) if nearer else (s, o, g)


def plausible_lengths(moments: PairMoments, buckets: Buckets, max_tokens: float) -> tuple[Array, Array]:
    """Prompts and outputs [tokens] with these moments, as far as the buckets allow them."""
    return synthesize(unclustered(moments, buckets, max_tokens), LengthLaws.of(*buckets, max_tokens))


def unclustered(moments: PairMoments, buckets: Buckets, max_tokens: float) -> PairMoments:
    """Variances no larger than the histograms allow, the covariance in proportion, and none that lengths cannot have.

    Where short requests and long ones come in bursts of their own, sums over scrape intervals show a covariance with
    which E[s·o] would be less than nothing.
    """
    scales = []
    for variance, counts in zip((moments.var_s, moments.var_o), buckets, strict=True):
        spread = bucket_variance(counts, max_tokens)
        small = spread is None or variance <= BUCKETS_COARSE * spread
        scales.append(1.0 if small or spread is None else BUCKETS_COARSE * spread / variance)
    allowed = replace(
        moments,
        var_s=moments.var_s * scales[0],
        var_o=moments.var_o * scales[1],
        cov=moments.cov * (scales[0] * scales[1]) ** 0.5,
    )
    if abs(allowed.cov) <= _PLAUSIBLE_CORRELATION * sqrt(allowed.var_s * allowed.var_o):
        return allowed
    least, largest = covariance_limits(allowed, LengthLaws.of(*buckets, max_tokens))
    return replace(allowed, cov=min(max(allowed.cov, least), largest))


def _moved(moments: PairMoments, missing: float, possible: tuple[float, float]) -> PairMoments:
    """Second moments with which E[g], that holds Cov(s, o) once and Var(o) half, changes by ``missing``.

    The covariance is the least sure and takes what it can. At its largest correlation it grows with the deviations
    themselves, so the outputs' deviation d that takes the rest solves d²/2 + r·sd(s)·d = what E[g] has to hold of both,
    with that correlation r. Where less is asked for than any d makes, it is the d that makes least.

    ``possible`` are the least and the largest variance of the outputs.
    """
    spread_s, spread_o = sqrt(moments.var_s), sqrt(moments.var_o)
    cov = moments.cov + missing
    if abs(cov) <= _MOST_CORRELATED * spread_s * spread_o:
        return replace(moments, cov=cov)
    slope = copysign(_MOST_CORRELATED, cov) * spread_s
    root = sqrt(max(slope * slope + 2 * cov + moments.var_o, 0.0))
    # of two deviations that do it the one on the side of today's
    spread_o = -slope + (root if spread_o >= -slope else -root)
    spread_o = min(max(spread_o, sqrt(possible[0])), sqrt(possible[1]))
    return replace(moments, cov=slope * spread_o, var_o=spread_o * spread_o)
