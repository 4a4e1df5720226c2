"""How many roots f(x) = Σ_j c_j·x^j has in a circle or a sector of it: the winding number of f along the border.

With real coefficients the upper half plane is enough. Along a circle one FFT gives f; along a ray it is summed up.
"""

from __future__ import annotations

from math import pi

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.congestion.survival import Array

# half or double of any of these, but for the ratio of the ray, leaves every growth of those forty mixes as it is, too
_POINTS_PER_BIN = 8
"""Points of a circle for each coefficient [1]. Choice: in the mean f turns by an eighth of a circle at most between two
of them. Where a root is so near that it turns by more, the path of the last check is refined; double doubles the
time."""
_SAME = 1e-6
"""Distance within which two starts have found the same root [1]. Choice: the error up to which Newton's method counts
as having found one."""
_REAL = 1e-11
"""Distance from the real axis within which a root is real [1]. Choice: some hundred times where Newton's method
stops."""
_MOST_TURN = 2.0
"""Turn of f between two points of a path above which a point is put between them [rad]. Choice: well below the half
circle (3.14) from which on the sense of a turn is lost."""
_REFINEMENTS = 40
"""Halvings of a stretch where f turns by more [1]. Choice: a root at distance ε of the path takes log₂(1/ε) of them,
and known roots are kept 1e-7 and more away."""
_RAY_RATIO = 1.1
"""Distance of two points on a ray, as a ratio of log radii [1]. Choice: twice as far, f turns by a whole circle between
two points unseen, and four of the forty mixes of bench/congestion get another verdict; nearer costs time."""
_NO_MORE = 50.0
"""Logarithm below which a term x^j counts as nothing [1]. Choice: e^−50 is 2e-22, below the rounding of a double."""
_RAY_START_RATIO = 0.01
"""Log radius of a ray's first point below its end, times the number of coefficients [1]. Choice: x^j has changed there
by 1% at most."""
LEAST_MODULUS = 1e-300
"""Least divisor of a complex number's modulus [1]. Choice: nearly the smallest double; a polynomial with thousands of
coefficients comes near it inside the circle."""

Complex = npt.NDArray[np.complex128]


def roots_inside(coefficients: Array, radius: float) -> int:
    """Winding number of f along the circle. With real coefficients half of the circle is enough."""
    values = circle(coefficients, radius, points_of(coefficients))
    turns = np.angle(np.roll(values, -1) * np.conj(values)).sum() / (2 * pi)
    return abs(round(float(turns)))


def hidden_roots(coefficients: Array, radius: float, angle: float, known: list[complex]) -> int:
    """How many roots but the ``known`` ones have at most that modulus and an argument from 0 to ``angle``.

    Known ones must lie outside of the circle or of the sector.
    """
    points = 1 << (2 * _POINTS_PER_BIN * len(coefficients) - 1).bit_length()
    arc = np.arange(int(min(angle, pi) / (2 * pi) * points) + 1)
    path = radius * np.exp(2j * pi * arc / points)
    values = np.conj(circle(coefficients, radius, points)[: len(arc)])
    if angle < pi:
        # from the arc's end to the origin, where f is c_0 and all of its turns are made
        least = _RAY_START_RATIO / len(coefficients)
        count = int(np.log(_NO_MORE / least) / np.log(_RAY_RATIO))
        depth = np.concatenate([[0.0], np.geomspace(least, _NO_MORE, count)])
        ray = np.asarray(radius * np.exp(1j * angle - depth), dtype=complex)
        path, values = np.concatenate([path, ray]), np.concatenate([values, _along(coefficients, ray, depth)])
    distinct = _distinct(known)
    values = _divided(values, path, distinct)
    for _ in range(_REFINEMENTS):
        turned = np.angle(values[1:] * np.conj(values[:-1]))
        sharp = np.flatnonzero(np.abs(turned) > _MOST_TURN)
        if not len(sharp):
            break
        # a root near the path turns f by almost half a circle between two points: which way, the points between show
        between = path[sharp] * np.sqrt(path[sharp + 1] / path[sharp])
        exact = np.array([coefficients @ np.exp(np.arange(len(coefficients)) * np.log(x)) for x in between])
        path = np.insert(path, sharp + 1, between)
        values = np.insert(values, sharp + 1, _divided(exact, between, distinct))
    turns = float(turned.sum()) / (2 * pi)
    # half of the whole circle sees half of its turns
    return abs(round(turns if angle < pi else 2 * turns))


def _divided(values: Complex, points: Complex, roots: list[complex]) -> Complex:
    """Values of f over the factors of known roots, as far as directions go."""
    directions = values / np.maximum(np.abs(values), LEAST_MODULUS)
    for root in roots:
        factor = (points - root) * (points - np.conj(root)) if root.imag else points - root
        directions = directions * np.conj(factor) / np.maximum(np.abs(factor), LEAST_MODULUS)
    return directions


def _distinct(roots: list[complex]) -> list[complex]:
    """Each once, in the upper half plane: what is divided out twice would turn too fast between two points."""
    kept: list[complex] = []
    for root in roots:
        upper = complex(root.real, abs(root.imag) if abs(root.imag) > _REAL else 0.0)
        if all(abs(upper - other) > _SAME for other in kept):
            kept.append(upper)
    return kept


def circle(coefficients: Array, radius: float, points: int) -> Complex:
    """Values of f at equally spaced points of a circle, from angle 0 on, clockwise."""
    return np.asarray(np.fft.fft(coefficients * radius ** np.arange(len(coefficients)), points), dtype=complex)


def _along(coefficients: Array, ray: Complex, depth: Array) -> Complex:
    """Values of f at the points of a ray, ``depth`` below its end in log radius."""
    values = np.empty(len(ray), dtype=complex)
    for place, (x, v) in enumerate(zip(ray, depth, strict=True)):
        terms = len(coefficients) if v == 0 else min(len(coefficients), int(_NO_MORE / v) + 2)
        values[place] = coefficients[:terms] @ np.exp(np.arange(terms) * np.log(x))
    return values


def points_of(coefficients: Array) -> int:
    """How many points of a circle resolve f along it."""
    return 1 << (_POINTS_PER_BIN * len(coefficients) - 1).bit_length()
