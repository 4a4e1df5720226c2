"""Whether a wave of admissions grows: the root of largest modulus of the survival polynomial Σ_j c_j·z^{n−1−j}.

With x = 1/z that is the root of smallest modulus of f(x) = Σ_j c_j·x^j, which ``roots`` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log, pi, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.constants import TINY
from kvwatch.queueing.congestion.roots import smallest_root
from kvwatch.queueing.congestion.survival import (
    Array,
    checked_prompts,
    checked_shares,
    survival_coefficients,
    whole_steps,
)
from kvwatch.stats.normal import Z90

_MOST_LOGARITHM = 100.0
"""Logarithm of the fastest growth, and widest interval, that are reported [1]. Choice: e^100 is already beyond all use,
and its product with another such number is still a double."""
STABLE_BELOW = 0.8
"""Growth per mean lifetime below which waves die [1]. Choice: a wave loses a fifth in a lifetime, and a third in two;
nearer to 1 the noise of arrivals feeds it as fast as it dies."""
UNSTABLE_ABOVE = 1 / STABLE_BELOW
"""Growth per mean lifetime above which waves grow [1]. Definition: as far above 1 as the other is below, in the
logarithm."""
_POLE_OFFSET_RATIO = 1e-8
"""How far a root at 1 is moved, relative to it [1]. Choice: there (1 − x^o)/(1 − x) is 0/0; the square root of a
double's rounding is where its two errors, of the step and of the cancellation, are alike."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How a small wave in the admissions develops.

    Attributes:
        radius: Modulus of the dominant root: a wave's factor per step.
        error: Bound on the error of ``radius`` that comes from the numerics.
        period_steps: Steps from crest to crest of the dominant wave; ``None`` where it does not oscillate.
        growth: Factor per mean lifetime, radius^lifetime.
        growth_lower: Lower end of its 90% interval, given the number of requests seen.
        growth_upper: Upper end.
    """

    radius: float
    error: float
    period_steps: float | None
    growth: float
    growth_lower: float
    growth_upper: float

    @property
    def verdict(self) -> str:
        """Whether waves grow: "stable", "unstable", or "undecided" near 1."""
        if self.growth > UNSTABLE_ABOVE:
            return "unstable"
        return "stable" if self.growth < STABLE_BELOW else "undecided"


def stability(
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    requests: float | None = None,
    least_period_steps: float = 2.0,
) -> Stability:
    """The dominant root for a pool of requests.

    Args:
        prompt_tokens: s of each [tokens].
        output_tokens: o of each [tokens].
        weights: How often each comes; equally often without.
        requests: How many requests the pool was learnt from, for the interval; as many as it has without.
        least_period_steps: Faster waves are left out: whether a ripple of a few steps grows depends on how a finite
            pool's lengths happen to lie, not on the traffic.

    Raises:
        ValueError: There are no requests, or what is given of them cannot be: the message says where and what to do.
    """
    if requests is not None and not (isfinite(requests) and requests >= 0):
        raise ValueError(f"requests: {requests} were seen; give a finite number, or None for as many as the pool has")
    s, o = checked_prompts(prompt_tokens), whole_steps(output_tokens)
    q = checked_shares(weights, len(s))
    coefficients = survival_coefficients(s, o, q)
    lifetime = float(q @ o)
    root, error = smallest_root(coefficients, lifetime, least_period_steps)
    deviation = _deviation(s, o, q, root, coefficients) / sqrt(len(s) if requests is None else max(requests, 1.0))
    if not np.isfinite(root):
        return Stability(0.0, 0.0, None, 0.0, 0.0, 0.0)
    radius = float(1 / abs(root))
    logarithm, half = min(lifetime * log(radius), _MOST_LOGARITHM), min(Z90 * lifetime * deviation, _MOST_LOGARITHM)
    angle = abs(float(np.angle(root)))
    return Stability(
        radius=radius,
        error=float(error) * radius**2,
        period_steps=2 * pi / angle if angle > TINY else None,
        growth=exp(logarithm),
        growth_lower=exp(logarithm - half),
        growth_upper=exp(logarithm + half),
    )


def _deviation(s: Array, o: npt.NDArray[np.int64], q: Array, root: complex, coefficients: Array) -> float:
    """Standard deviation of log|root| for one request: how far a single one moves it (delta method).

    A request adds P(x) = Σ_{j<o} (s + j)·x^j to f, and moves a root by −P/f′.
    """
    if not np.isfinite(root):
        return 0.0
    x = root if abs(1 - root) > TINY else root * (1 + _POLE_OFFSET_RATIO)
    power = np.exp(o * np.log(complex(x)))
    sums = (1 - power) / (1 - x)
    weighted = x * (1 - o * power / x + (o - 1) * power) / (1 - x) ** 2
    contributions = s * sums + weighted
    powers = np.arange(len(coefficients))
    slope = complex((coefficients * powers * np.exp(powers * np.log(complex(x)))).sum())
    influence = np.real(contributions / slope)
    return sqrt(max(float(q @ influence**2) - float(q @ influence) ** 2, 0.0))
