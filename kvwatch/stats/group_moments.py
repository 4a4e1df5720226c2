"""Mean, variance and covariance of pairs of which only sums over small groups are seen.

A scrape interval in which k requests finish shows k, Σs and Σo, but not the k pairs. The means follow at
once. For the second moments let F = Σk be all requests and ō their mean: for independent requests
E[(ΣO − kō)²] = k(1 − k/F)·Var(o), so the ratio of the sums over intervals is unbiased, and the same holds
for the cross term and Cov(s, o). Groups with k = 1 are exact pairs and need no special case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAST_GROUPS = 4
"""Groups from which on second moments are reported [groups]. Choice: with two the variance has one degree of freedom
and is mostly wrong by a factor of two and more; with eight the first estimate of an engine comes twice as late."""


@dataclass(frozen=True, slots=True)
class PairMoments:
    """Moments of (s, o) over ``requests`` pairs that came in ``groups`` groups; second moments unbiased."""

    requests: float
    groups: int
    mean_s: float
    mean_o: float
    var_s: float
    var_o: float
    cov: float

    @property
    def mean_so(self) -> float:
        """E[s·o]."""
        return self.mean_s * self.mean_o + self.cov

    @property
    def mean_oo(self) -> float:
        """E[o²]."""
        return self.mean_o**2 + self.var_o


def pair_moments(
    counts: Sequence[float], sums_s: Sequence[float], sums_o: Sequence[float], min_groups: int = _LEAST_GROUPS
) -> PairMoments | None:
    """Moments from groups of ``counts`` pairs with sums ``sums_s`` and ``sums_o`` (of equal length).

    ``None`` with fewer than ``min_groups`` non-empty groups, where second moments mean nothing.
    """
    k = np.asarray(counts, dtype=float)
    some = k > 0
    if int(some.sum()) < min_groups:
        return None
    k, s, o = k[some], np.asarray(sums_s, dtype=float)[some], np.asarray(sums_o, dtype=float)[some]
    total = float(k.sum())
    mean_s, mean_o = float(s.sum()) / total, float(o.sum()) / total
    ds, do = s - k * mean_s, o - k * mean_o
    freedom = float((k * (1 - k / total)).sum())
    return PairMoments(
        requests=total,
        groups=len(k),
        mean_s=mean_s,
        mean_o=mean_o,
        var_s=float(ds @ ds) / freedom,
        var_o=float(do @ do) / freedom,
        cov=float(ds @ do) / freedom,
    )
