"""What a full engine looks like: its mean step under each limit, by flow conservation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvwatch.queueing.capacity import Demand, Limits, full_load_concurrency

StepSeconds = Callable[[float, float, float], float]
"""Step time at (n decoding, p prefill tokens, K resident tokens) [s]."""


@dataclass(frozen=True, slots=True)
class FullLoad:
    """A full engine under one limit: requests running, its mean step (n, p, K), step time [s] and μ [requests/s]."""

    running: float
    composition: tuple[float, float, float]
    step_seconds: float
    rate: float


def composition(
    running: float, demand: Demand, prompt_computed_tokens: float, chunks: float
) -> tuple[float, float, float]:
    """(n, p, K) of the mean step with ``running`` requests: each step finishes running/E[T] of them.

    A finished request brought ``prompt_computed_tokens`` of prefill over ``chunks`` steps, decoded in the other
    steps, and held E[g] token·steps. Raises ValueError without E[T].
    """
    if demand.steps is None:
        raise ValueError("E[T] is needed for the composition of a step")
    per_step = running / demand.steps
    decoding = max(running - per_step * chunks, 0.0)
    return decoding, per_step * prompt_computed_tokens, per_step * demand.memory_token_steps


def full_loads(
    demand: Demand, limits: Limits, prompt_computed_tokens: float, chunks: float, step_seconds: StepSeconds
) -> dict[str, FullLoad]:
    """The full engine under each known limit, without evictions."""
    loads = {}
    for limit, running in full_load_concurrency(demand, limits).items():
        if demand.steps is None:
            continue
        step = composition(running, demand, prompt_computed_tokens, chunks)
        seconds = step_seconds(*step)
        loads[limit] = FullLoad(running, step, seconds, running / (seconds * demand.steps))
    return loads
