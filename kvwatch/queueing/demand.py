"""Memory-work g(s, o) of a request: the KV tokens it holds, summed over the engine steps it lives [token·steps].

Two forms. :func:`closed_form` is the paper's (Nie, Si, Zhou, arXiv 2605.04595): tokens, not blocks, and the
prompt in whole chunks; it reproduces the paper's numbers. :func:`block_demand` counts what vLLM allocates:
whole blocks of B tokens, held over the steps the request really takes, the last prefill chunk emitting the
first token and the last token's KV never being written. With B = 32 it is 3–9% above the closed form.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.stats.group_moments import PairMoments
from kvwatch.stats.normal import normal_quantiles

Array = npt.NDArray[np.float64]

_QUANTILES = 64
"""Prompt lengths over which the means of a prefill's chunks are taken [lengths]. Choice: the chunks of a lognormal law
with σ = 1 are then right within 1%, with half within 1.5%. What unfinished prefills hold, a small part of E[g] unless
prompts are far longer than outputs, is up to a fifth low, as the longest prompts lie beyond the last quantile."""
_NORMAL_QUANTILES: Array = normal_quantiles((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
"""Equally likely values of a standard normal number [1]. Definition: the middles of the parts in probability."""


def closed_form(prompt_tokens: float, output_tokens: float, chunk_tokens: float) -> float:
    """The paper's g = ((1 + s/ŝ)·s + 2·o·s + (1 + o)·o) / 2, exact where ŝ divides s [token·steps]."""
    s, o = prompt_tokens, output_tokens
    return ((1 + s / chunk_tokens) * s + 2 * o * s + (1 + o) * o) / 2


def block_demand(
    prompt_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike, block_tokens: int, chunk_tokens: int
) -> Array:
    """G in allocated block tokens, for arrays of lengths (broadcast together) [token·steps].

    The o steps from the last prefill chunk on hold ⌈x/B⌉·B tokens with x = s … s + o − 1; before them the
    chunks hold ⌈c·ŝ/B⌉·B for c = 1 … ⌈s/ŝ⌉ − 1. Lengths must be at least 1.
    """
    s, o = np.broadcast_arrays(np.asarray(prompt_tokens, dtype=float), np.asarray(output_tokens, dtype=float))
    decode = _blocks_up_to(s + o - 1, block_tokens) - _blocks_up_to(s - 1, block_tokens)
    return np.asarray(block_tokens * decode + _partial_prefill(s, block_tokens, chunk_tokens), dtype=float)


def request_demand(prompt_tokens: int, output_tokens: int, block_tokens: int, chunk_tokens: int) -> float:
    """:func:`block_demand` of one request, without the cost of arrays."""
    whole = (prompt_tokens - 1) // chunk_tokens
    held = 0
    for n, sign in ((prompt_tokens + output_tokens - 1, 1), (prompt_tokens - 1, -1)):
        q, r = divmod(n, block_tokens)
        held += sign * (block_tokens * q * (q + 1) // 2 + r * (q + 1))
    rounding = 0.0 if chunk_tokens % block_tokens == 0 else (block_tokens - 1) / 2
    return block_tokens * held + chunk_tokens * whole * (whole + 1) / 2 + rounding * whole


def _blocks_up_to(n: Array, block: int) -> Array:
    """Σ of ⌈x/B⌉ over x = 1 … n."""
    q, r = np.floor_divide(n, block), np.mod(n, block)
    return np.asarray(block * q * (q + 1) / 2 + r * (q + 1), dtype=float)


def _partial_prefill(s: Array, block: int, chunk: int) -> Array:
    """Block tokens held over the prefill steps before the last one."""
    whole = np.ceil(s / chunk) - 1
    # a chunk of ŝ tokens rounds up to whole blocks; on average over c that adds (B − 1)/2 unless B divides ŝ
    rounding = 0.0 if chunk % block == 0 else (block - 1) / 2
    return np.asarray(chunk * whole * (whole + 1) / 2 + rounding * whole, dtype=float)


def mean_demand(moments: PairMoments, block_tokens: int, chunk_tokens: int) -> float:
    """E[g] in block tokens from the moments of (s, o) [token·steps].

    E[s·o] + E[o·(o−1)]/2, plus (B−1)/2 per decode step for the half-filled last block, plus the partial
    prefill steps, whose mean is taken over a lognormal law with the prompts' mean and variance.
    """
    m = moments
    # unbiased moments of a few large groups can fall below what lengths of at least 1 allow
    mean_so = max(m.mean_so, m.mean_s, m.mean_o)
    mean_oo = max(m.mean_oo, m.mean_o)
    decode = mean_so + (mean_oo - m.mean_o) / 2 + (block_tokens - 1) / 2 * m.mean_o
    prefill = _partial_prefill(prompt_quantiles(m.mean_s, m.var_s), block_tokens, chunk_tokens)
    return decode + float(prefill.mean())


def mean_steps(moments: PairMoments, chunk_tokens: int) -> float:
    """E[T] = E[chunks] + E[o] − 1 [steps]."""
    chunks = np.ceil(prompt_quantiles(moments.mean_s, moments.var_s) / chunk_tokens)
    return float(chunks.mean()) + moments.mean_o - 1


def prompt_quantiles(mean: float, variance: float) -> Array:
    """Equally likely lengths of a lognormal law with this mean and variance, at least 1 token each."""
    mean = max(mean, 1.0)
    if variance <= 0:
        return np.full(len(_NORMAL_QUANTILES), mean)
    sigma = sqrt(log(1 + variance / mean**2))
    x = np.exp(_NORMAL_QUANTILES * sigma)
    return np.asarray(np.maximum(x * (mean / x.mean()), 1.0), dtype=float)


def mean_computed(moments: PairMoments, cached_ratio: float | None) -> float:
    """E[w]: tokens computed for a mean request, its last one left out; a share of its prompt was found in the cache."""
    return moments.mean_s * (1 - (cached_ratio or 0.0)) + moments.mean_o - 1
