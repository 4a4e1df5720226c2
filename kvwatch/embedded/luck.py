"""How a run's luck with arrivals is taken out of its latencies.

Close to full a run of thousands of requests sees some dozen long queues, and a few more or fewer move the 95th
percentile by a third. How much work stood before a request, by arithmetic alone, goes along with how long it waits, and
over a million requests that takes no time. So the requests of a run are put into strata by that work, and each stratum
counts as often as it comes in the long run (post-stratification).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kvwatch.embedded.full_means import mean_life

if TYPE_CHECKING:
    from kvwatch.embedded.saturation import Saturation
    from kvwatch.embedded.settings import RequestShape, SchedulerSettings

Array = npt.NDArray[np.float64]

_STRATA = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995)
"""Shares of the requests at which strata end [1]. Choice: narrower where the quantiles that are asked for lie."""
_LONG_RUN = 2500.0
"""Requests of the long run, times (1 − ρ)² [requests]. Choice: the work in a queue is known to some per cent over a
thousand of the times that it takes to forget itself."""
_LEAST_LONG_RUN = 100_000
"""The same of the shortest [requests]. Choice: the narrowest stratum then holds five hundred."""
_SEED = 20261203
"""Seed of the long run [1]. Choice: any."""


def work_seconds(pool: Sequence[RequestShape], settings: SchedulerSettings, full: Saturation) -> Array:
    """What each shape takes of the resource that binds in a ``full`` engine, in seconds of all of it."""
    used = (
        full.mean_kv_tokens / settings.kv_capacity_tokens,
        full.mean_running / settings.max_num_seqs,
        full.computed_tokens_per_step / settings.max_num_batched_tokens,
    )
    lives = [mean_life([shape], None, settings) for shape in pool]
    takes = (
        [life.token_steps + life.unfinished_token_steps for life in lives],
        [life.steps for life in lives],
        [life.prompt_tokens + life.output_tokens - 1 for life in lives],
    )
    work: Array = np.array(takes[used.index(max(used))])
    return work / (float(work.mean()) * full.throughput_rps)


def standing_work(gaps: Array, work: Array) -> Array:
    """The work [s] before each of some requests, of which the first finds none, in a server that works it off.

    ``gaps`` are the times from each to the next [s], one fewer than there are requests.
    """
    levels = np.concatenate(([0.0], np.cumsum(work[:-1] - gaps)))
    return levels - np.minimum.accumulate(levels)


def weights(before: Array, load: float, work: Array, burstiness: float) -> Array:
    """How often requests count that found the work ``before`` them: as often as such come in the long run.

    ``work`` is that of requests of the traffic, of which each is as likely.
    """
    source = np.random.default_rng(_SEED)
    requests = max(int(_LONG_RUN / (1 - load) ** 2), _LEAST_LONG_RUN)
    order = 1 / burstiness**2
    mean_gap = float(work.mean()) / load
    gaps = source.gamma(order, mean_gap / order, requests - 1)
    long_run = standing_work(gaps, source.choice(work, requests))
    edges = np.unique(np.quantile(long_run, _STRATA))
    shares = np.bincount(np.searchsorted(edges, long_run, side="right"), minlength=len(edges) + 1) / requests
    places = np.searchsorted(edges, before, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    seen = np.flatnonzero(counts)
    # what the run has not seen counts with the stratum below it, or with the lowest that it has
    stands_for = seen[np.maximum(np.searchsorted(seen, np.arange(len(shares)), side="right") - 1, 0)]
    each: Array = np.bincount(stands_for, weights=shares, minlength=len(shares)) / np.maximum(counts, 1)
    return each[places]


def weighted_quantile(values: Array, counts: Array, share: float) -> float:
    """The value that this share of all, each counted as often as ``counts`` says, does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    place = int(np.searchsorted(reached, share * reached[-1]))
    return float(values[order][min(place, len(order) - 1)])
