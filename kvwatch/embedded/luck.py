"""How a run's luck with arrivals is taken out of its latencies.

Close to full a run of thousands of requests sees some dozen long queues, and a few more or fewer move the 95th
percentile by half. The waits of the coarse engine go along with the true ones, and over a million requests they take
seconds. So what counts of a run is only what it adds to the coarse wait of the same request; the coarse waits are those
of the long run (a control variate, request by request).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvwatch.embedded.coarse_engine import CoarseEngine

Array = npt.NDArray[np.float64]

_PIECE = 300.0
"""Requests of a piece of the long run, times (1 − ρ)² [requests]. Choice: several times what the queue takes to forget
how long it was, so that pieces know little of each other and of their start."""
_LEAST_PIECE = 2000
"""The same of the shortest piece [requests]. Choice: its 95th percentile rests on a hundred."""
_WARM_UP_RATIO = 0.2
"""Share of a piece that is left out [1]. Choice: it begins empty, and has forgotten that then."""
_LEAST_PIECES = 4
"""Pieces at least [1]. Choice: fewer do not show how far they are apart."""
_MOST_REQUESTS = 600_000
"""Requests of the longest run, evictions counted like them [requests]. Choice: one to two seconds of CPU."""
_SHARE = 0.95
"""The quantile whose error ends the long run [1]. Choice: that of the targets."""
_ENOUGH_RATIO = 0.07
"""Standard error of that quantile, over it, from which on the run is long enough [1]. Choice: a third of
what a latency may be off by; half of it takes four times as long."""
_ENOUGH_SECONDS = 0.02
"""The same by itself [s]. Choice: where the queue begins the quantile is near none, and a step is as long as this."""
_NEIGHBOURS = 8
"""Requests on each side of a coarse wait whose additions may be its own [requests]. Choice: enough to have those of a
step's beginning and of its end."""
_MOST_POINTS = 50_000
"""Waits that stand for the long run [1]. Choice: a 99th percentile rests on five hundred."""
_SEED = 20261203
"""Seed of the long run [1]. Choice: any."""


def long_run(engine: CoarseEngine, rate: float, load: float, burstiness: float) -> Array:
    """Waits [s] in the long run, evenly drawn from all, in rising order."""
    source = np.random.default_rng(_SEED)
    requests = max(int(_PIECE / (1 - load) ** 2), _LEAST_PIECE)
    most = _MOST_REQUESTS / (1 + engine.evictions_per_request)
    pieces: list[Array] = []
    highs: list[float] = []
    error = enough = 0.0
    order = 1 / burstiness**2
    while len(pieces) < _LEAST_PIECES or (error > enough and len(pieces) * requests < most):
        at = np.cumsum(source.gamma(order, 1 / (rate * order), requests))
        waits = engine.waits(at.tolist(), source.integers(0, engine.shapes, requests).tolist())
        pieces.append(waits[int(_WARM_UP_RATIO * requests) :])
        highs.append(float(np.quantile(pieces[-1], _SHARE)))
        error = float(np.std(highs)) / len(highs) ** 0.5
        enough = max(_ENOUGH_RATIO * float(np.mean(highs)), _ENOUGH_SECONDS)
    waits = np.sort(np.concatenate(pieces))
    places = (np.arange(_MOST_POINTS) + 0.5) / _MOST_POINTS * len(waits)
    return waits if len(waits) <= _MOST_POINTS else waits[places.astype(int)]


def as_in_the_long_run(waits: Array, coarse: Array, seen: Array) -> Array:
    """Latencies [s] of requests whose coarse waits are ``waits``.

    Of a run, ``coarse`` are the coarse waits and ``seen`` the latencies: each of ``waits`` is added to by as much as
    a request of the run was that waited about as long.
    """
    source = np.random.default_rng(_SEED)
    order = np.argsort(coarse, kind="stable")
    rising, added = coarse[order], (seen - coarse)[order]
    first = np.maximum(np.searchsorted(rising, waits, side="left") - _NEIGHBOURS, 0)
    last = np.minimum(np.searchsorted(rising, waits, side="right") + _NEIGHBOURS, len(rising))
    chosen = first + (source.random(len(waits)) * (last - first)).astype(int)
    found: Array = np.maximum(waits + added[chosen], 0.0)
    return found
