"""What admissions still hold of the KV memory some steps later.

A request of prompt s and output o that was admitted j steps ago holds s + j tokens if o > j and nothing else. Its
mean over the traffic is the survival coefficient c_j = E[(s + j)·1{o > j}]. With memory kept full the admissions a_t
obey Σ_j c_j·a_{t−j} = M, so in equilibrium a = M/Σ_j c_j, and Σ_j c_j is the mean request's memory-work.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def survival_coefficients(
    prompt_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Array:
    """c_0 … c_{n−1} with n the longest output [tokens].

    Args:
        prompt_tokens: s of each request.
        output_tokens: o of each, rounded to whole steps, at least 1.
        weights: How often each comes; equally often without.

    Raises:
        ValueError: There are no requests.
    """
    s = np.atleast_1d(np.asarray(prompt_tokens, dtype=float))
    o = whole_steps(output_tokens)
    if not len(s):
        raise ValueError("no requests, so nothing survives")
    q = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=float)
    q = q / q.sum()
    steps = int(o.max())
    # requests with o > j: all those of output j + 1 and more
    alive = np.cumsum(np.bincount(o, q, steps + 1)[::-1])[::-1][1:]
    prompts = np.cumsum(np.bincount(o, q * s, steps + 1)[::-1])[::-1][1:]
    return np.asarray(prompts + np.arange(steps) * alive, dtype=float)


def whole_steps(output_tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Outputs as whole numbers of steps, at least one."""
    rounded = np.maximum(np.rint(np.atleast_1d(np.asarray(output_tokens, dtype=float))), 1)
    return np.asarray(rounded, dtype=np.int64)


def coarse_grained(coefficients: Array, most: int) -> tuple[Array, int]:
    """Sums over bins of h steps, at most ``most`` of them, and h."""
    width = -(-len(coefficients) // most)
    padded = np.zeros(-(-len(coefficients) // width) * width)
    padded[: len(coefficients)] = coefficients
    return np.asarray(padded.reshape(-1, width).sum(axis=1), dtype=float), width


def equilibrium_admissions(coefficients: Array, kv_tokens: float) -> float:
    """Requests admitted, and finished, each step while nothing is evicted and memory is full: M/Σ c_j."""
    return kv_tokens / float(coefficients.sum())
