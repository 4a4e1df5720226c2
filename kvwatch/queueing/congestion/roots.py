"""The root of least modulus of f(x) = Σ_j c_j·x^j among those of a least period, with a bound on its error.

How many roots lie inside a circle is the winding number of f along it (argument principle), which one FFT gives.
Bisection on the circle's radius therefore finds the modulus without ever forming a companion matrix, and stays accurate
at thousands of coefficients. Neighbouring coefficients are added up first, as many as the least period allows, and
more where more than ``_MOST_BINS`` would be left. Newton's method on all coefficients then finds the roots themselves.

That may miss a root: adding up moves them, and of many that grow alike only some are followed. So the winding number of
all coefficients around the sector of slow waves, with the roots that are known divided out, has the last word: it is 0
where none was missed. Where one was, bisection in the sector brackets it.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from kvwatch.queueing.congestion.survival import Array, coarse_grained
from kvwatch.queueing.congestion.winding import LEAST_MODULUS, Complex, circle, hidden_roots, points_of, roots_inside

# half or double of any of these leaves every growth of the forty mixes of bench/congestion as it is, to the last digit
_MOST_BINS = 1024
"""Coefficients of the coarse polynomial [bins]. Choice: half a mean lifetime, the least period that matters, is two
bins and more as long as the longest output is no more than 256 mean ones; double doubles the time of a search, which is
tens of milliseconds."""
_LEAST_GROWTH = 0.02
"""Growth per mean lifetime below which it does not matter how fast a wave dies [1]. Choice: it is a fiftieth after one
lifetime; "stable" begins at 0.8."""
_MOST_GROWTH = 1e4
"""Growth per mean lifetime above which it does not matter how fast a wave grows [1]. Choice: it fills the engine within
one lifetime, whatever it began with; "unstable" begins at 1.25."""
_BISECTIONS = 22
"""Halvings of the coarse modulus's bracket [1]. Choice: ln(10⁴/0.02) = 13 over 2²² leaves 3e-6, a start that Newton's
method makes exact; each costs an FFT."""
_SECTOR_BISECTIONS = 30
"""Halvings of the bracket around a root that was missed [1]. Choice: here the bracket itself may be the answer, so it
is made as small (1e-8) as known roots are kept away from."""
_STARTS = 32
"""Points of a circle from which Newton's method starts [1]. Choice: roots of nearly the least modulus are few; one that
none of these leads to is still found by the winding number."""
_POLISHED = 8
"""Coarse roots that are made exact with all coefficients [1]. Choice: adding up coefficients moves roots, so that the
first of the coarse ones need not be the first; where none of eight is, the winding number shows it."""
_SEARCHES = 4
"""How often roots that the winding number shows are looked for by Newton's method before bisection [1]. Choice: one is
enough unless many roots are nearly alike, and then bisection answers as well."""
_NEWTON_STEPS = 40
"""Steps of Newton's method at most [steps]. Choice: near a root each doubles the digits, so that five are enough; the
others are for coming near, a tenth of a period at a time."""
_CONVERGED = 1e-13
"""Newton step that is no longer worth another [1]. Choice: some hundred times the rounding of doubles at |x| = 1."""
_CONVERGED_BOUND = 1e-6
"""Error, times the degree, up to which Newton's method counts as having found a root [1]. Choice: an error of growth in
a lifetime of at most that, six digits where two are reported."""
_NEWTON_STRIDE = 0.6
"""Longest Newton step, times the degree [rad]. Choice: a tenth of the period 2π/degree, so that a start stays with the
root next to it; double lets neighbours be mistaken for each other, half costs steps."""
_EDGE = 1e-7
"""How far a circle keeps from a known root, relative to a step's share of the longest output [1]. Choice: well above
the error of a root that Newton's method found, well below the distance of roots that matter."""
_WHOLE_ANGLE = 1 + 1e-9
"""Factor on the angle of the least period [1]. Choice: a root of exactly that period is inside in spite of rounding."""


def smallest_root(coefficients: Array, lifetime: float, least_period_steps: float = 2.0) -> tuple[complex, float]:
    """Root of least modulus of Σ c_j·x^j among those of at least that period, and a bound on its modulus's error.

    ``lifetime`` is the mean number of steps over which growth is judged. Too few coefficients for such a period have
    no root: then there is no wave at all, and the root is at infinity. So it is where none grows by a fiftieth or more
    in a lifetime. With more than 1,024 coefficients the least period is no shorter than two of the bins.
    """
    least_width = max(int(least_period_steps / 2), 1)
    if len(coefficients) <= least_width:
        return complex("inf"), 0.0
    bins, width = coarse_grained(coefficients, min(_MOST_BINS, -(-len(coefficients) // least_width)))
    angle = pi / max(least_width, width) * _WHOLE_ANGLE
    exact = coefficients / float(coefficients.max())
    known = _found(exact, bins / float(bins.max()), width, lifetime)
    faintest, edge = float(_LEAST_GROWTH ** (-1 / lifetime)), _EDGE / len(exact)
    for _ in range(_SEARCHES):
        slow = [(x, e) for x, e in known if abs(np.angle(x)) <= angle]
        root, error = min(slow, key=lambda pair: abs(pair[0]), default=(complex("inf"), 0.0))
        outer = min(abs(root) * (1 - edge), faintest)
        if not hidden_roots(exact, outer, angle, [x for x, _ in known]):
            return root, max(error, edge * abs(root)) if np.isfinite(root) else 0.0
        known += _polished(exact, _nearly_roots(exact, outer, angle))
    return _bracketed(exact, (float(_MOST_GROWTH ** (-1 / lifetime)), outer), angle, [x for x, _ in known])


def _found(exact: Array, bins: Array, width: int, lifetime: float) -> list[tuple[complex, float]]:
    """Roots near the least modulus of the coarse polynomial, made exact, and how exact each is."""
    inner, outer = _MOST_GROWTH ** (-width / lifetime), _LEAST_GROWTH ** (-width / lifetime)
    for _ in range(_BISECTIONS):
        middle = sqrt(inner * outer)
        if roots_inside(bins, middle):
            outer = middle
        else:
            inner = middle
    found = sorted((_newton(bins, x) for x in _nearly_roots(bins, outer)), key=lambda r: abs(r[0]))
    if width > 1:
        return _polished(exact, np.array([x ** (1 / width) for x, _ in found[:_POLISHED]]))
    return [(x, e) for x, e in found if np.isfinite(x) and e < _CONVERGED_BOUND]


def _polished(coefficients: Array, starts: Complex) -> list[tuple[complex, float]]:
    """The roots that Newton's method reaches, where it does."""
    found = [_newton(coefficients, complex(x)) for x in starts]
    return [(x, e) for x, e in found if np.isfinite(x) and e < _CONVERGED_BOUND]


def _bracketed(exact: Array, between: tuple[float, float], angle: float, known: list[complex]) -> tuple[complex, float]:
    """A root of the sector that was missed: its modulus by bisection, and where Newton's method agrees, itself."""
    inner, outer = between
    while hidden_roots(exact, inner, angle, known):
        inner *= inner
    for _ in range(_SECTOR_BISECTIONS):
        middle = sqrt(inner * outer)
        if hidden_roots(exact, middle, angle, known):
            outer = middle
        else:
            inner = middle
    starts = _nearly_roots(exact, outer, angle)
    for x, error in _polished(exact, starts):
        if abs(np.angle(x)) <= angle and inner - error <= abs(x) <= outer + error:
            return x, max(error, outer - inner)
    return complex(starts[0]) if len(starts) else outer * complex(np.exp(1j * angle)), outer - inner


def _nearly_roots(coefficients: Array, radius: float, angle: float = pi) -> Complex:
    """Points of the arc that a Newton step |f/f′| shows to be nearest to a root, each nearer than its neighbours."""
    points = points_of(coefficients)
    slopes = circle(coefficients * np.arange(len(coefficients)), radius, points)
    distance = np.abs(circle(coefficients, radius, points)) / np.maximum(np.abs(slopes), LEAST_MODULUS)
    half = distance[: int(min(angle, pi) / (2 * pi) * points) + 1]
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
        x -= step * min(1.0, _NEWTON_STRIDE / (degree * abs(step))) if step else 0
        if abs(step) < _CONVERGED:
            break
    return x, degree * abs(step)
