"""By how much may E[g] by lengths and by occupancy differ by chance?

Both are means over what a window saw: of few requests, some of them long, and of memory that is seen at the scrapes
only. Each stretch of the window is left out in turn; by how much that moves the ratio tells how well it is known (the
delete-a-group jackknife; Efron and Stein, 1981). It needs no model of who comes: bursts, long tails and requests that
hold memory from one scrape to the next all show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvwatch.core.traffic.lengths import Span
from kvwatch.stats.group_moments import PairMoments

_STRETCHES = 10
"""Stretches that a window is cut into [groups]. Choice: nine differences know a deviation to a quarter; with
twice as many, stretches are half as long, and what outlives one of them is taken for signal."""
_LEAST_STRETCHES = 4
"""Stretches from which on there is a deviation [groups]. Choice: three differences know it to a factor of two; fewer
say nothing."""


def residual_deviation(spans: Sequence[Span], summed: PairMoments, moments: PairMoments) -> float | None:
    """Standard deviation of log(E[g] by lengths / E[g] by occupancy) over these spans [1].

    ``summed`` are the moments as the spans' sums give them, ``moments`` those that E[g] is computed from.
    ``None`` with fewer than 4 spans whose memory is known, or where leaving one stretch out leaves nothing.
    """
    known = [span for span in spans if span.held_token_steps is not None]
    groups = min(_STRETCHES, len(known))
    if groups < _LEAST_STRETCHES:
        return None
    k, s, o, made, held = np.array(
        [(x.count, x.prompt_tokens, x.output_tokens, x.generation_tokens, x.held_token_steps) for x in known]
    ).T
    ds, do = s - k * summed.mean_s, o - k * summed.mean_o
    freedom = k * (1 - k / max(summed.requests, 1.0))
    edges = np.linspace(0, len(known), groups, endpoint=False).astype(int)
    sums = np.array([np.add.reduceat(x, edges) for x in (k, s, o, made, held, ds * do, do * do, freedom)])
    n, prompts, outputs, generated, memory, cov, var, free = sums.sum(axis=1, keepdims=True) - sums
    if min(n.min(), generated.min(), memory.min(), free.min(), outputs.min()) <= 0:
        return None
    mean_s, mean_o = prompts / n, outputs / n
    cov *= moments.cov / summed.cov if summed.cov else 1.0
    var *= moments.var_o / summed.var_o if summed.var_o else 1.0
    by_lengths = mean_s * mean_o + cov / free + (mean_o**2 + var / free) / 2  # g is s·o + o²/2 but for rounding
    by_occupancy = memory * mean_o / generated
    if by_lengths.min() <= 0:
        return None
    apart = np.log(by_lengths / by_occupancy)
    return float(np.sqrt((groups - 1) * np.var(apart)))
