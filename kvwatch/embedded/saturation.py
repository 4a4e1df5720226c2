"""The scheduler kept full in virtual time, for the means a capacity estimate needs."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import numpy as np

from kvwatch.embedded.full_means import StepMeans, conserved, mean_life, plain_means, weighted_means
from kvwatch.embedded.request import PREFILLING, Request
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.workload import DRAWN_AT_ONCE, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvwatch.embedded.settings import RequestShape, SchedulerSettings
    from kvwatch.embedded.step_law import MeanLaw

DEFAULT_STEPS = 4000
"""Length of a run where none is asked for [steps]. Choice: some ten lifetimes of ordinary requests, a tenth of a
second."""
_LEAST_WARM_UP_RATIO = 0.1
"""Share of a run that the warm-up takes at least [1]. Choice: the first admissions come all at once, however short the
requests are."""
_LONGEST_WARM_UP_RATIO = 2 / 3
"""Share that it takes at most [1]. Choice: a third is left to measure, where a run is shorter than the requests
need."""
_WARM_UP_LIVES = 2.0
"""Lives of the request that one meets in a full engine (longer than the mean one) that the warm-up lasts [lifetimes].
Measured: tests/embedded/test_full_means.py, where with lognormal outputs of σ = 0.9 the rate is then within 1% of the
long run's; without a warm-up it is 1.6% above it, as the longest requests are not there yet."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """An engine in the long run, while requests wait at all times, as the steps after the warm-up tell.

    Attributes:
        throughput_rps: Requests served a second.
        mean_running: Running requests at the start of a step's execution, prefilling ones included.
        mean_decoding: Of those, the decoding ones: the n of the step law.
        mean_prefill_tokens: Tokens a step computed beyond one for each decoding request: the p of the law.
        mean_prefill_share: Share of the steps that computed prompt tokens: the φ of the law.
        mean_kv_tokens: Tokens of the KV blocks held: the K of the law.
        mean_step_seconds: b̄ at full load.
        preemptions_per_finished: Evictions for each request that finished; None if none finished.
        recomputed_token_ratio: Tokens computed again after an eviction, as a share of all computed.
        computed_tokens_per_step: Prefill and decode tokens.
        generated_tokens_per_step: Output tokens.
        mean_output_tokens: Mean output length of the requests, as cut to the model's longest sequence.
        finished: Requests that finished after the warm-up.
        steps: Steps after the warm-up.
        seconds: Virtual time those steps took.
    """

    throughput_rps: float
    mean_running: float
    mean_decoding: float
    mean_prefill_tokens: float
    mean_prefill_share: float
    mean_kv_tokens: float
    mean_step_seconds: float
    preemptions_per_finished: float | None
    recomputed_token_ratio: float
    computed_tokens_per_step: float
    generated_tokens_per_step: float
    mean_output_tokens: float
    finished: int
    steps: int
    seconds: float


def saturate(  # noqa: PLR0913 (an experiment has that many conditions)
    pool: Sequence[RequestShape],
    settings: SchedulerSettings,
    law: MeanLaw,
    *,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    weights: Sequence[float] | None = None,
    warmup_steps: int | None = None,
) -> Saturation:
    """Run ``steps`` engine steps with a queue that never empties.

    Args:
        pool: Shapes to draw from. Without ``weights`` they come in shuffled rounds, so that every stretch of
            ``len(pool)`` requests has the pool's own mix; with them, independently.
        settings: The scheduler's.
        law: Duration of a step.
        steps: Steps to run, the warm-up included.
        seed: Of the order of the requests.
        weights: Relative frequency of each shape.
        warmup_steps: Steps left out of the means. By default until as many requests finished as ran at once,
            twice over, and the longest of those that run are as old as in the long run, but at least a tenth and at
            most two thirds of the steps.

    Returns:
        The means. A fixed composition of requests never reaches equilibrium, so they are those of its cycle.

    Raises:
        ValueError: The pool is empty, or holds a request that the engine could never run.
    """
    if not pool:
        raise ValueError("the pool of requests is empty")
    backlog = _Backlog(pool, weights, settings, seed)
    life = mean_life(pool, weights, settings)
    warmed = _warm_up(backlog, steps, life.met_steps, warmup_steps)
    noted = array("d")
    for _ in range(max(steps - warmed, 1)):
        backlog.step()
        noted.extend(backlog.latest())
    rows = np.frombuffer(noted).reshape(-1, len(StepMeans._fields))
    plain, seen = plain_means(rows), weighted_means(rows)
    full = conserved(seen, life, settings)
    step_seconds = _mean_seconds(law, full)
    computed = full.decoding + full.prefill_tokens
    return Saturation(
        throughput_rps=full.generated_tokens / (life.output_tokens * step_seconds),
        mean_running=seen.decoding + seen.prefilling,
        mean_decoding=full.decoding,
        mean_prefill_tokens=full.prefill_tokens,
        mean_prefill_share=full.prefill_share,
        mean_kv_tokens=full.kv_tokens,
        mean_step_seconds=step_seconds,
        preemptions_per_finished=plain.preempted / plain.finished if plain.finished else None,
        recomputed_token_ratio=full.recomputed_tokens / max(computed, 1.0),
        computed_tokens_per_step=computed,
        generated_tokens_per_step=full.generated_tokens,
        mean_output_tokens=life.output_tokens,
        finished=round(plain.finished * len(rows)),
        steps=len(rows),
        seconds=len(rows) * _mean_seconds(law, plain),
    )


def _mean_seconds(law: MeanLaw, means: StepMeans) -> float:
    return law.mean_seconds(means.decoding, means.prefill_tokens, means.kv_tokens, means.prefill_share)


def _warm_up(backlog: _Backlog, steps: int, met_steps: float, warmup_steps: int | None) -> int:
    """Step until the start no longer shows; return the steps taken."""
    if warmup_steps is not None:
        for _ in range(min(warmup_steps, steps - 1)):
            backlog.step()
        return min(warmup_steps, steps - 1)
    scheduler, finished = backlog.scheduler, 0
    longest, least = int(_LONGEST_WARM_UP_RATIO * steps), max(_LEAST_WARM_UP_RATIO * steps, _WARM_UP_LIVES * met_steps)
    for taken in range(1, longest):
        backlog.step()
        finished += len(scheduler.finished)
        if taken >= least and finished >= 2 * len(scheduler.running):
            return taken
    return max(longest - 1, 0)


class _Backlog:
    """A scheduler whose waiting queue is topped up before each step."""

    def __init__(
        self, pool: Sequence[RequestShape], weights: Sequence[float] | None, settings: SchedulerSettings, seed: int
    ) -> None:
        self.scheduler = Scheduler(settings)
        source = random.Random(seed)  # noqa: S311 (reproducible, not secret)
        self._stream = Pool(tuple(pool)).shapes(source) if weights is None else _weighted(pool, weights, source)

    def step(self) -> None:
        """Take one step with more waiting than there are seats."""
        scheduler = self.scheduler
        if len(scheduler.waiting) <= scheduler.settings.max_num_seqs:
            size = scheduler.settings.block_size_tokens
            for shape in islice(self._stream, scheduler.settings.max_num_seqs):
                scheduler.add(Request(shape, size))
        scheduler.step()

    def latest(self) -> StepMeans:
        """What was in the latest step."""
        scheduler = self.scheduler
        size = scheduler.settings.block_size_tokens
        held = scheduler.resident_blocks * size
        last = next(reversed(scheduler.running), None)
        unfinished = last.computed_tokens if last is not None and last.state == PREFILLING else 0
        unfinished = -(-unfinished // size) * size
        if not scheduler.prefill_tokens:  # as in most steps, which must cost little
            n = scheduler.decoding
            return StepMeans(n, 0, 0, 0, 0, 0, held, unfinished, n, len(scheduler.finished), len(scheduler.preempted))
        return StepMeans(
            decoding=scheduler.decoding,
            prefilling=scheduler.context_requests + scheduler.recomputing,
            prefill_tokens=scheduler.prefill_tokens,
            prefill_share=1,
            recomputed_tokens=scheduler.recomputed_tokens,
            prompt_tokens=sum(r.prompt_tokens for r in scheduler.prefilled if r.generated_tokens == 1),
            kv_tokens=held,
            unfinished_tokens=unfinished,
            generated_tokens=scheduler.decoding + len(scheduler.prefilled),
            finished=len(scheduler.finished),
            preempted=len(scheduler.preempted),
        )


def _weighted(
    pool: Sequence[RequestShape], weights: Sequence[float], random_source: random.Random
) -> Iterator[RequestShape]:
    """Draw shapes independently, each as often as its weight says."""
    thresholds = list(accumulate(weights))
    while True:
        yield from random_source.choices(pool, cum_weights=thresholds, k=DRAWN_AT_ONCE)
