"""What requests of an engine truly see at a load: runs of the embedded engine, as many as it takes to know it.

A run sees few long queues, and its own parts do not show how far it is from the long run. So several runs with seeds of
their own are made, and the error is that of runs drawn from them again and again (bootstrap).
"""

from __future__ import annotations

from time import process_time

import numpy as np
import numpy.typing as npt

from bench.latency.workloads import Workload
from kvwatch.embedded.open_loop import Latencies, open_loop

LOADS = {0.5: 4_000, 0.7: 6_000, 0.85: 10_000, 0.95: 30_000}
"""Loads that are compared [1], and requests of one run at each [requests]. Choice: several times what the queue takes
to forget how it began."""
ENOUGH_RATIO, ENOUGH_SECONDS = 0.04, 0.01
"""Standard error from which on no more runs are made. Choice: a fifth of what a prediction may be off by."""
_LEAST_RUNS = 4
"""Runs at least [1]. Choice: fewer show no error."""
_MOST_CPU_SECONDS = 15.0
"""CPU after which no further run is begun [s]. Choice: a quarter of an hour for all."""
_FIRST_SEED = 78
_DRAWN = 200
"""Times that the runs are drawn again [1]. Choice: the error itself is then known to a twentieth."""
_SHARE = 0.95

Array = npt.NDArray[np.float64]


def truth_at(workload: Workload, load: float) -> dict[str, float]:
    """95th percentiles [s] at a load, with the standard errors of wait and time to the first token."""
    engine = workload.engine
    rate = load * engine.full().throughput_rps
    runs: list[Latencies] = []
    began = process_time()
    while True:
        seed = _FIRST_SEED + len(runs)
        runs.append(open_loop(engine.pool, engine.settings, engine.law, rate, requests=LOADS[load], seed=seed))
        waits = [run.wait_seconds for run in runs]
        if len(runs) < _LEAST_RUNS:
            continue
        value, error = _quantile(waits)
        if error <= max(ENOUGH_RATIO * value, ENOUGH_SECONDS) or process_time() - began > _MOST_CPU_SECONDS:
            break
    first, first_error = _quantile([run.first_token_seconds for run in runs])
    return {
        "runs": len(runs),
        "requests": sum(map(len, waits)),
        "wait": value,
        "wait_error": error,
        "ttft": first,
        "ttft_error": first_error,
        "itl": float(np.median([run.between(_SHARE) for run in runs])),
    }


def _quantile(runs: list[Array]) -> tuple[float, float]:
    """Of all runs together, and its standard error."""
    source = np.random.default_rng(_FIRST_SEED)
    # of a run only what lies high moves the quantile; the rest is counted
    floor = float(np.quantile(np.concatenate(runs), 1 - 4 * (1 - _SHARE)))
    high = [run[run > floor] for run in runs]
    drawn = []
    for _ in range(_DRAWN):
        places = source.integers(0, len(runs), len(runs))
        values = np.sort(np.concatenate([high[place] for place in places]))
        beyond = (1 - _SHARE) * sum(len(runs[place]) for place in places)
        drawn.append(values[max(len(values) - 1 - int(beyond), 0)] if len(values) else floor)
    return float(np.quantile(np.concatenate(runs), _SHARE)), float(np.std(drawn))
