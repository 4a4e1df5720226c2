"""The scheduler kept full in virtual time, for the means a capacity estimate needs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from kvwatch.embedded.request import Request
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.workload import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvwatch.embedded.settings import RequestShape, SchedulerSettings
    from kvwatch.embedded.step_law import MeanLaw


@dataclass(frozen=True, slots=True)
class Saturation:
    """Means over the steps after the warm-up, while requests wait at all times.

    Attributes:
        throughput_rps: Requests served a second: tokens generated over mean output length over time.
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
        warmup_steps: Steps before.
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
    warmup_steps: int


def saturate(  # noqa: PLR0913 (an experiment has that many conditions)
    pool: Sequence[RequestShape],
    settings: SchedulerSettings,
    law: MeanLaw,
    *,
    steps: int = 4000,
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
            twice over, but at least a tenth and at most half of the steps.

    Returns:
        The means. A fixed composition of requests never reaches equilibrium, so they are those of its cycle.

    Raises:
        ValueError: The pool is empty, or holds a request that the engine could never run.
    """
    if not pool:
        raise ValueError("the pool of requests is empty")
    backlog = _Backlog(pool, weights, settings, seed)
    warmed = _warm_up(backlog, steps, warmup_steps)
    step, scheduler = backlog.step, backlog.scheduler
    finished = preempted = decoding = prefilling = prefill = prefill_steps = prefilled = recomputed = blocks = 0
    for _ in range(steps - warmed):
        step()
        decoding += scheduler.decoding
        blocks += scheduler.resident_blocks
        finished += len(scheduler.finished)
        preempted += len(scheduler.preempted)
        if scheduler.prefill_tokens:
            prefill += scheduler.prefill_tokens
            prefill_steps += 1
            prefilling += scheduler.context_requests + scheduler.recomputing
            prefilled += len(scheduler.prefilled)
            recomputed += scheduler.recomputed_tokens
    measured = max(steps - warmed, 1)
    kv_tokens = blocks * settings.block_size_tokens / measured
    step_seconds = law.mean_seconds(decoding / measured, prefill / measured, kv_tokens, prefill_steps / measured)
    generated = (decoding + prefilled) / measured
    return Saturation(
        throughput_rps=generated / (backlog.mean_output_tokens * step_seconds),
        mean_running=(decoding + prefilling) / measured,
        mean_decoding=decoding / measured,
        mean_prefill_tokens=prefill / measured,
        mean_prefill_share=prefill_steps / measured,
        mean_kv_tokens=kv_tokens,
        mean_step_seconds=step_seconds,
        preemptions_per_finished=preempted / finished if finished else None,
        recomputed_token_ratio=recomputed / max(decoding + prefill, 1),
        computed_tokens_per_step=(decoding + prefill) / measured,
        generated_tokens_per_step=generated,
        mean_output_tokens=backlog.mean_output_tokens,
        finished=finished,
        steps=measured,
        seconds=measured * step_seconds,
        warmup_steps=warmed,
    )


def _warm_up(backlog: _Backlog, steps: int, warmup_steps: int | None) -> int:
    """Step until the start no longer shows; return the steps taken."""
    if warmup_steps is not None:
        for _ in range(min(warmup_steps, steps - 1)):
            backlog.step()
        return min(warmup_steps, steps - 1)
    scheduler, finished = backlog.scheduler, 0
    for taken in range(1, steps // 2):
        backlog.step()
        finished += len(scheduler.finished)
        if taken >= steps // 10 and finished >= 2 * len(scheduler.running):
            return taken
    return max(steps // 2 - 1, 0)


class _Backlog:
    """A scheduler whose waiting queue is topped up before each step."""

    def __init__(
        self, pool: Sequence[RequestShape], weights: Sequence[float] | None, settings: SchedulerSettings, seed: int
    ) -> None:
        self.scheduler = Scheduler(settings)
        source = random.Random(seed)  # noqa: S311 (reproducible, not secret)
        self._stream = Pool(tuple(pool)).shapes(source) if weights is None else _weighted(pool, weights, source)
        longest = min(settings.max_model_len, settings.kv_capacity_tokens)
        shares = [1.0] * len(pool) if weights is None else weights
        outputs = [min(shape.output_tokens, longest - shape.prompt_tokens) for shape in pool]
        self.mean_output_tokens = sum(w * o for w, o in zip(shares, outputs, strict=True)) / sum(shares)

    def step(self) -> None:
        """Take one step with more waiting than there are seats."""
        scheduler = self.scheduler
        if len(scheduler.waiting) <= scheduler.settings.max_num_seqs:
            size = scheduler.settings.block_size_tokens
            for shape in islice(self._stream, scheduler.settings.max_num_seqs):
                scheduler.add(Request(shape, size))
        scheduler.step()


def _weighted(
    pool: Sequence[RequestShape], weights: Sequence[float], random_source: random.Random
) -> Iterator[RequestShape]:
    """Draw shapes independently, each as often as its weight says."""
    thresholds = list(accumulate(weights))
    while True:
        yield from random_source.choices(pool, cum_weights=thresholds, k=256)
