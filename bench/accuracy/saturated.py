"""What a true engine serves when it is kept full: the truth that estimates are held to."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from bench.accuracy.engines import TrueEngine
from bench.accuracy.true_clock import TrueClock
from kvwatch.embedded.request import Request
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.workload import Pool

_FINISHED = 3000
"""Requests that a run serves at least. [choice: their mean work is then the pool's to 1%]"""
_LIFETIMES = 60
"""Mean lives of a request that a run lasts. [choice: it ends somewhere within a wave, which is worth half a percent of
sixty waves where all outputs are alike]"""
_MAX_STEPS = 150_000
_CLOSE_RATIO = 0.03
"""Limits whose concurrency differs by less are both named right. [choice]"""


@dataclass(frozen=True, slots=True)
class FullEngine:
    """Means of a long run with a queue that never empties.

    Attributes:
        rate: μ, requests/s: tokens generated over mean output and time.
        step_seconds: Mean time from step to step.
        composition: Mean n, p, K of a step, and the share φ of steps with prompt tokens.
        preemptions_per_finished: Evictions for each request that finished.
        kept_waiting: What the head of the queue waited for, as shares of the steps.
        limits: The limits that bind: the one with the smallest concurrency, and those within 3% of it.
        lifetime_seconds: Mean time that a request runs.
    """

    rate: float
    step_seconds: float
    composition: tuple[float, float, float, float]
    preemptions_per_finished: float
    kept_waiting: dict[str, float]
    limits: tuple[str, ...]
    lifetime_seconds: float


def keep_full(engine: TrueEngine, *, seed: int = 1, finished: int = _FINISHED, factor: float = 1.0) -> FullEngine:
    """Run until ``finished`` requests were served after the warm-up, and for at least sixty lifetimes.

    The pool comes in shuffled rounds, so that the mean work of what was served is the pool's own.
    """
    clock = engine.clock(seed)
    clock.factor = factor
    run = _Run(engine, clock, seed)
    warm_up = 0
    while run.finished < 2 * len(run.scheduler.running) or warm_up < 500:
        run.step()
        warm_up += 1
    run.clear()
    lifetime = engine.composition.steps
    while (run.finished < finished or run.steps < _LIFETIMES * lifetime) and run.steps < _MAX_STEPS:
        run.step()
    running = engine.concurrency
    least = min(running.values())
    blocked = run.blocked.total()
    return FullEngine(
        rate=run.generated / engine.composition.output_tokens / run.seconds,
        step_seconds=run.seconds / run.steps,
        composition=(
            run.decoding / run.steps,
            run.prefill / run.steps,
            run.kv_tokens / run.steps,
            run.prefill_steps / run.steps,
        ),
        preemptions_per_finished=run.preempted / max(run.finished, 1),
        kept_waiting={limit: count / blocked for limit, count in sorted(run.blocked.items())},
        limits=tuple(limit for limit, n in running.items() if n <= least * (1 + _CLOSE_RATIO)),
        lifetime_seconds=lifetime * run.seconds / run.steps,
    )


class _Run:
    """A scheduler whose queue is topped up before each step, and sums over its steps."""

    def __init__(self, engine: TrueEngine, clock: TrueClock, seed: int) -> None:
        self.scheduler = Scheduler(engine.settings)
        self._clock = clock
        self._stream = Pool(engine.pool).shapes(random.Random(seed))
        self.clear()

    def clear(self) -> None:
        self.steps = self.finished = self.preempted = self.decoding = self.prefill = self.generated = (
            self.prefill_steps
        ) = 0
        self.seconds = self.kv_tokens = 0.0
        self.blocked: Counter[str] = Counter()

    def step(self) -> None:
        scheduler, settings = self.scheduler, self.scheduler.settings
        if len(scheduler.waiting) <= settings.max_num_seqs:
            for shape in islice(self._stream, settings.max_num_seqs):
                scheduler.add(Request(shape, settings.block_size_tokens))
        scheduler.step()
        resident = scheduler.resident_blocks * settings.block_size_tokens
        seconds, gap = self._clock.draw(scheduler.decoding, scheduler.prefill_tokens, resident)
        self.steps += 1
        self.seconds += seconds + gap
        self.kv_tokens += resident
        self.finished += len(scheduler.finished)
        self.preempted += len(scheduler.preempted)
        self.decoding += scheduler.decoding
        self.prefill += scheduler.prefill_tokens
        self.prefill_steps += scheduler.prefill_tokens > 0
        self.generated += scheduler.decoding + len(scheduler.prefilled)
        if len(scheduler.running) + len(scheduler.finished) >= settings.max_num_seqs:
            self.blocked["seqs"] += 1
        elif scheduler.decoding + scheduler.prefill_tokens >= settings.max_num_batched_tokens:
            self.blocked["tokens"] += 1
        else:
            self.blocked["kv"] += 1
