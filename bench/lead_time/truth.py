"""When the queue begins to grow for good, from the simulation itself."""

from __future__ import annotations

import numpy as np

from bench.lead_time.scenarios import Case
from bench.lead_time.trace import Array, Trace

PERSISTS_SECONDS = 600.0
"""A queue that does not empty for so long has begun to grow for good."""
WATCHED_SECONDS = 1200.0
"""So long after its beginning a case ends: whoever has not paged by then will not be in time."""


def onset(trace: Trace) -> float | None:
    """The last instant at which nothing waited before requests waited for at least ten minutes without a break.

    Of several engines, the first one's. ``None`` if there is no such instant.
    """
    found = [_onset(trace.waiting_at, row) for row in trace.waiting]
    return min((at for at in found if at is not None), default=None)


def _onset(at: Array, waiting: Array) -> float | None:
    empty = np.concatenate(([0.0], at[waiting == 0], [at[-1] + (at[1] - at[0])]))
    long = np.flatnonzero(np.diff(empty) >= PERSISTS_SECONDS)
    return float(empty[long[0]]) if len(long) else None


def load(case: Case, trace: Trace, at: Array) -> Array:
    """ρ at these times: arrivals over the μ of then."""
    ends = np.cumsum([0.0, *(s.seconds for s in case.load)])
    rho = np.zeros(len(at))
    for i, stretch in enumerate(case.load):
        inside = (at >= ends[i]) & (at <= ends[i + 1])
        rho[inside] = stretch.start + (stretch.end - stretch.start) * (at[inside] - ends[i]) / stretch.seconds
    if trace.load_factor != 1:
        done = np.clip((at - case.rise_at) / case.rise_seconds, 0.0, 1.0)
        rho *= 1 + (trace.load_factor - 1) * done
    return rho
