"""How many roots f(x) = Σ_j c_j·x^j has in a circle or a sector of it: the winding number of f along the border.

With real coefficients the upper half plane tells all. Along a circle one FFT gives f; along a ray it is summed up.
"""

from __future__ import annotations

from math import pi

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.congestion.survival import Array

_POINTS_PER_BIN = 8
_SAME, _REAL = 1e-6, 1e-11
"""How near to each other two starts end that found the same root; and how near to the real axis one that is real."""
_MOST_TURN, _REFINEMENTS = 2.0, 40
"""Between two points of a path f may turn by so much; halvings of a stretch where it turns by more."""
_RAY_RATIO, _NO_MORE = 1.1, 50.0
"""Points on a ray lie apart by this ratio in log radius; x^j counts as nothing from e^−50 down."""

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
        least = 0.01 / len(coefficients)
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
        # a root near the path turns f by almost half a circle between two points: which way, those between tell
        between = path[sharp] * np.sqrt(path[sharp + 1] / path[sharp])
        exact = np.array([coefficients @ np.exp(np.arange(len(coefficients)) * np.log(x)) for x in between])
        path = np.insert(path, sharp + 1, between)
        values = np.insert(values, sharp + 1, _divided(exact, between, distinct))
    turns = float(turned.sum()) / (2 * pi)
    # half of the whole circle sees half of its turns
    return abs(round(turns if angle < pi else 2 * turns))


def _divided(values: Complex, points: Complex, roots: list[complex]) -> Complex:
    """Values of f over the factors of known roots, as far as directions go."""
    directions = values / np.maximum(np.abs(values), 1e-300)
    for root in roots:
        factor = (points - root) * (points - np.conj(root)) if root.imag else points - root
        directions = directions * np.conj(factor) / np.maximum(np.abs(factor), 1e-300)
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
