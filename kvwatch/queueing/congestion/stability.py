"""Whether a wave of admissions grows: the root of largest modulus of the survival polynomial Σ_j c_j·z^{n−1−j}.

With x = 1/z that is the root of smallest modulus of f(x) = Σ_j c_j·x^j. How many roots lie inside a circle is the
winding number of f along it (argument principle), which one FFT gives. Bisection on the circle's radius therefore
finds the modulus without ever forming a companion matrix, and stays accurate at thousands of coefficients. Beyond
``_MOST_BINS`` coefficients neighbouring ones are added up first. Newton's method on all coefficients then removes what
that and the bisection left over, and bounds it: a polynomial of degree d has a root within d·|f/f′| of any point.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, pi, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.congestion.survival import Array, coarse_grained, survival_coefficients, whole_steps

_MOST_BINS = 1024
_POINTS_PER_BIN = 8
_LEAST_GROWTH, _MOST_GROWTH = 0.02, 1e4
"""Growth per mean lifetime outside of which it does not matter how fast a wave dies or grows."""
_BISECTIONS = 22
_STARTS, _POLISHED = 32, 8
_NEWTON_STEPS, _CONVERGED, _CONVERGED_BOUND = 40, 1e-13, 1e-6
_Z90 = 1.6449
STABLE_BELOW, UNSTABLE_ABOVE = 0.8, 1.25
"""Growth per mean lifetime between which noise decides."""

Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class Stability:
    """How a small wave in the admissions develops.

    Attributes:
        radius: Modulus of the dominant root: a wave's factor per step.
        error: Bound on the error of ``radius`` that comes from the numerics.
        period_steps: Steps from crest to crest of the dominant wave; ``None`` where it does not oscillate.
        lifetime_steps: Mean output length, E[T] without the prefill.
        growth: Factor per mean lifetime, radius^lifetime.
        growth_lower: Lower end of its 90% interval for so many requests seen.
        growth_upper: Upper end.
    """

    radius: float
    error: float
    period_steps: float | None
    lifetime_steps: float
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
        ValueError: There are no requests.
    """
    s = np.atleast_1d(np.asarray(prompt_tokens, dtype=float))
    o = whole_steps(output_tokens)
    q = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=float)
    q = q / q.sum()
    coefficients = survival_coefficients(s, o, q)
    lifetime = float(q @ o)
    root, error = smallest_root(coefficients, lifetime, least_period_steps)
    deviation = _deviation(s, o, q, root, coefficients) / sqrt(len(s) if requests is None else max(requests, 1.0))
    if not np.isfinite(root):
        return Stability(0.0, 0.0, None, lifetime, 0.0, 0.0, 0.0)
    radius = float(1 / abs(root))
    logarithm, half = lifetime * log(radius), min(_Z90 * lifetime * deviation, 50.0)
    angle = abs(float(np.angle(root)))
    return Stability(
        radius=radius,
        error=float(error) * radius**2,
        period_steps=2 * pi / angle if angle > 1e-9 else None,
        lifetime_steps=lifetime,
        growth=exp(logarithm),
        growth_lower=exp(logarithm - half),
        growth_upper=exp(logarithm + half),
    )


def smallest_root(coefficients: Array, lifetime: float, least_period_steps: float = 2.0) -> tuple[complex, float]:
    """Root of least modulus of Σ c_j·x^j among those of at least that period, and a bound on its error.

    ``lifetime`` is the mean number of steps over which growth is judged. Too few coefficients for such a period have
    no root: then there is no wave at all, and the root is at infinity.
    """
    least_width = max(int(least_period_steps / 2), 1)
    if len(coefficients) <= least_width:
        return complex("inf"), 0.0
    bins, width = coarse_grained(coefficients, min(_MOST_BINS, -(-len(coefficients) // least_width)))
    scale = float(bins.max())
    inner, outer = _MOST_GROWTH ** (-width / lifetime), _LEAST_GROWTH ** (-width / lifetime)
    for _ in range(_BISECTIONS):
        middle = sqrt(inner * outer)
        if _roots_inside(bins / scale, middle):
            outer = middle
        else:
            inner = middle
    found = sorted((_newton(bins / scale, x) for x in _nearly_roots(bins / scale, outer)), key=lambda r: abs(r[0]))
    if width > 1:
        exact = coefficients / float(coefficients.max())
        found = [_newton(exact, complex(x ** (1 / width))) for x, _ in found[:_POLISHED]]
    fastest = pi / least_width * (1 + 1e-9)
    slow = [(x, e) for x, e in found if np.isfinite(x) and e < _CONVERGED_BOUND and abs(np.angle(x)) <= fastest]
    root, error = min(slow, key=lambda root: abs(root[0]), default=(complex("inf"), 0.0))
    # the circle of radius ``inner`` is known to be free of roots; what lies between may have been missed
    return root, max(error, abs(root) - inner ** (1 / width)) if np.isfinite(root) and width == 1 else error


def _circle(coefficients: Array, radius: float) -> Complex:
    """Values of f at equally spaced points of a circle, from angle 0 on, clockwise."""
    points = 1 << (_POINTS_PER_BIN * len(coefficients) - 1).bit_length()
    return np.asarray(np.fft.fft(coefficients * radius ** np.arange(len(coefficients)), points), dtype=complex)


def _roots_inside(coefficients: Array, radius: float) -> int:
    """Winding number of f along the circle. With real coefficients half of the circle is enough."""
    values = _circle(coefficients, radius)
    turns = np.angle(np.roll(values, -1) * np.conj(values)).sum() / (2 * pi)
    return abs(round(float(turns)))


def _nearly_roots(coefficients: Array, radius: float) -> Complex:
    """Points of the circle that a Newton step |f/f′| shows to be nearest to a root, each nearer than its neighbours."""
    slopes = _circle(coefficients * np.arange(len(coefficients)), radius)
    distance = np.abs(_circle(coefficients, radius)) / np.maximum(np.abs(slopes), 1e-300)
    half = distance[: len(distance) // 2 + 1]
    least = np.flatnonzero((half <= np.roll(distance, 1)[: len(half)]) & (half <= np.roll(distance, -1)[: len(half)]))
    nearest = least[np.argsort(half[least])][:_STARTS]
    return np.asarray(radius * np.exp(-2j * pi * nearest / len(distance)), dtype=complex)


def _newton(coefficients: Array, x: complex) -> tuple[complex, float]:
    """The root that Newton's method reaches from ``x``, and d·|f/f′| there."""
    degree = len(coefficients) - 1
    powers = np.arange(len(coefficients))
    step = complex("inf")
    for _ in range(_NEWTON_STEPS):
        terms = coefficients * np.exp(powers * np.log(x))
        value, slope = complex(terms.sum()), complex((terms * powers).sum()) / x
        if slope == 0:
            break
        step = value / slope
        # far from a root a whole step may leave the neighbourhood: no more than a tenth of a period
        x -= step * min(1.0, 0.6 / (degree * abs(step))) if step else 0
        if abs(step) < _CONVERGED:
            break
    return x, degree * abs(step)


def _deviation(s: Array, o: npt.NDArray[np.int64], q: Array, root: complex, coefficients: Array) -> float:
    """Standard deviation of log|root| for one request: how far a single one moves it (delta method).

    A request adds P(x) = Σ_{j<o} (s + j)·x^j to f, and moves a root by −P/f′.
    """
    if not np.isfinite(root):
        return 0.0
    x = root if abs(1 - root) > 1e-9 else root * (1 + 1e-8)
    power = np.exp(o * np.log(complex(x)))
    sums = (1 - power) / (1 - x)
    weighted = x * (1 - o * power / x + (o - 1) * power) / (1 - x) ** 2
    contributions = s * sums + weighted
    powers = np.arange(len(coefficients))
    slope = complex((coefficients * powers * np.exp(powers * np.log(complex(x)))).sum())
    influence = np.real(contributions / slope)
    return sqrt(max(float(q @ influence**2) - float(q @ influence) ** 2, 0.0))
