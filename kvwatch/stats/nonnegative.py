"""Least squares without negative coefficients: the active-set method of Lawson and Hanson.

Solving Least Squares Problems (1974), chapter 23, algorithm NNLS. scipy has it too, but to import its optimizers takes
a process 32 MB and a sixth of a second (measured, Python 3.11), for half a dozen coefficients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_ROUNDS_PER_COEFFICIENT = 10
"""Most changes of the active set [1]. Choice: three times what scipy allows, far more than it ever takes."""
_TOLERANCE = 10 * np.finfo(float).eps
"""A gradient smaller than this, for each unit of the matrix's 1-norm and of the larger dimension, is none [1].

Choice: as in Lawson and Hanson's program and in scipy, where it was first written down.
"""


def nnls(matrix: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> Array:
    """Argmin over x ≥ 0 of ‖matrix·x − values‖; ``matrix`` has the shape (equations, coefficients).

    Raises:
        ValueError: no solution is found within the rounds that are allowed, as with numbers that are not finite.
    """
    coefficients = matrix.shape[1]
    gram, moments = matrix.T @ matrix, matrix.T @ values
    tolerance = _TOLERANCE * max(matrix.shape) * float(np.abs(gram).sum(axis=0).max(initial=0.0))
    solution = np.zeros(coefficients)
    free = np.zeros(coefficients, dtype=bool)
    for _ in range(_ROUNDS_PER_COEFFICIENT * coefficients):
        gradient = np.where(free, -np.inf, moments - gram @ solution)
        best = int(gradient.argmax())
        if free.all() or gradient[best] <= tolerance:
            return solution
        free[best] = True
        while True:
            trial = np.zeros(coefficients)
            trial[free] = np.linalg.lstsq(matrix[:, free], values, rcond=None)[0]
            bound = free & (trial <= 0)
            if not bound.any():
                break
            # go towards the trial as far as all stay at 0 or above, and hold those there that reach it
            steps = np.full(coefficients, np.inf)
            steps[bound] = solution[bound] / (solution[bound] - trial[bound])
            solution += float(steps.min()) * (trial - solution)
            free &= steps > steps.min()
            solution[~free] = 0.0
            if not free.any():
                break
        solution = trial if free.any() else solution
    raise ValueError("no solution without negative coefficients was found")
