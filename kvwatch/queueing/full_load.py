"""What a full engine looks like: its mean step under each limit, by flow conservation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

from kvwatch.queueing.capacity import Demand, Limits, full_load_concurrency

StepSeconds = Callable[[float, float, float, float], float]
"""Mean step time at (n decoding, p prefill tokens, K resident tokens, share φ of steps with prefill tokens) [s]."""


@dataclass(frozen=True, slots=True)
class FullLoad:
    """A full engine under one limit: requests running, its mean step (n, p, K, φ), step time [s] and μ [requests/s]."""

    running: float
    composition: tuple[float, float, float, float]
    step_seconds: float
    rate: float


def composition(
    running: float, demand: Demand, prompt_computed_tokens: float, chunks: float, budget_tokens: float | None
) -> tuple[float, float, float, float]:
    """(n, p, K, φ) of the mean step with ``running`` requests: each step finishes running/E[T] of them.

    A finished request brought ``prompt_computed_tokens`` of prefill over ``chunks`` steps, decoded in the other
    steps, and held E[g] token·steps. Raises ValueError without E[T].
    """
    if demand.steps is None:
        raise ValueError("E[T] is needed for the composition of a step")
    per_step = running / demand.steps
    decoding = max(running - per_step * chunks, 0.0)
    prefill = per_step * prompt_computed_tokens
    share = prefill_share(prefill, prompt_computed_tokens / chunks, budget_tokens)
    return decoding, prefill, per_step * demand.memory_token_steps, share


def prefill_share(prefill_tokens: float, chunk_tokens: float, budget_tokens: float | None) -> float:
    """Share φ of steps that compute prompt tokens, where a step computes ``prefill_tokens`` of them in the mean.

    Chunks that come independently of each other leave exp(−their number) of the steps without one; no step
    computes more than the budget C.
    """
    if prefill_tokens <= 0:
        return 0.0
    share = 1 - exp(-prefill_tokens / max(chunk_tokens, 1.0))
    return min(max(share, prefill_tokens / budget_tokens if budget_tokens else 0.0), 1.0)


def full_loads(
    demand: Demand, limits: Limits, prompt_computed_tokens: float, chunks: float, step_seconds: StepSeconds
) -> dict[str, FullLoad]:
    """The full engine under each known limit, without evictions."""
    loads = {}
    for limit, running in full_load_concurrency(demand, limits).items():
        if demand.steps is None:
            continue
        step = composition(running, demand, prompt_computed_tokens, chunks, limits.step_tokens)
        seconds = step_seconds(*step)
        loads[limit] = FullLoad(running, step, seconds, running / (seconds * demand.steps))
    return loads
