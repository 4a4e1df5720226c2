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
        prompt_tokens: s of each request, above 0.
        output_tokens: o of each, rounded to whole steps, at least 1.
        weights: How often each comes; equally often without.

    Raises:
        ValueError: There are no requests, or what is given of them cannot be: the message says where and what to do.
    """
    s, o = checked_prompts(prompt_tokens), whole_steps(output_tokens)
    if not len(s):
        raise ValueError("no requests, so nothing survives")
    if len(s) != len(o):
        raise ValueError(f"{len(s)} prompts for {len(o)} outputs; give one of each for every request")
    q = checked_shares(weights, len(s))
    steps = int(o.max())
    # requests with o > j: all those of output j + 1 and more
    alive = np.cumsum(np.bincount(o, q, steps + 1)[::-1])[::-1][1:]
    prompts = np.cumsum(np.bincount(o, q * s, steps + 1)[::-1])[::-1][1:]
    return np.asarray(prompts + np.arange(steps) * alive, dtype=float)


def checked_prompts(prompt_tokens: npt.ArrayLike) -> Array:
    """Prompts as an array; each must be above 0 and finite, or a ``ValueError`` says which is not."""
    s = np.atleast_1d(np.asarray(prompt_tokens, dtype=float))
    _refuse(s, ~(np.isfinite(s) & (s > 0)), "prompt_tokens", "give a finite number above 0, or leave the request out")
    return s


def whole_steps(output_tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Outputs as whole numbers of steps, at least one; a ``ValueError`` says which is negative or no number."""
    o = np.atleast_1d(np.asarray(output_tokens, dtype=float))
    _refuse(o, ~(np.isfinite(o) & (o >= 0)), "output_tokens", "give a finite number, or leave the request out")
    return np.asarray(np.maximum(np.rint(o), 1), dtype=np.int64)


def checked_shares(weights: npt.ArrayLike | None, count: int) -> Array:
    """Weights as shares that add up to 1, all alike without; a ``ValueError`` says what is wrong with them."""
    q = np.ones(count) if weights is None else np.atleast_1d(np.asarray(weights, dtype=float))
    if len(q) != count:
        raise ValueError(f"{len(q)} weights for {count} requests; give one for each, or none at all")
    _refuse(q, ~(np.isfinite(q) & (q >= 0)), "weights", "give how often the request comes, 0 or more")
    if count and not q.sum() > 0:
        raise ValueError("weights: all are 0, so no request ever comes; give at least one that is above 0")
    return np.asarray(q / q.sum() if count else q, dtype=float)


def _refuse(values: Array, wrong: npt.NDArray[np.bool_], name: str, mend: str) -> None:
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{name}[{place}] is {values[place]:g}: {mend}")


def coarse_grained(coefficients: Array, most: int) -> tuple[Array, int]:
    """Sums over bins of h steps, at most ``most`` of them, and h."""
    width = -(-len(coefficients) // most)
    padded = np.zeros(-(-len(coefficients) // width) * width)
    padded[: len(coefficients)] = coefficients
    return np.asarray(padded.reshape(-1, width).sum(axis=1), dtype=float), width
