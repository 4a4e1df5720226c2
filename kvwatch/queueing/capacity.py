"""Service rate μ of one engine under each of its three limits, and what follows for stability.

Source of the KV limit and of the stability bounds: Nie, Si, Zhou, arXiv 2605.04595. The other two limits say
that no more than S requests can run and no more than C tokens be computed in a step. With full-load concurrency
N* = min(M·E[T]/E[g], S, C·E[T]/E[w]) and step time b, μ = N*/(b·E[T]) [requests/s].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from kvwatch.constants import TINY

KV, SEQS, TOKENS = "kv", "seqs", "tokens"
LIMITS = (KV, SEQS, TOKENS)
"""All limits, as labels spell them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a mean request asks of an engine.

    ``memory_token_steps`` is E[g], ``steps`` E[T], ``compute_tokens`` E[w]: uncached prompt and decode tokens.
    """

    memory_token_steps: float
    steps: float | None = None
    compute_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine has: M [tokens], S = max_num_seqs [requests], C = max_num_batched_tokens [tokens/step]."""

    kv_tokens: float | None = None
    seqs: float | None = None
    step_tokens: float | None = None


def paper_service_rate(kv_tokens: float, step_seconds: float, memory_token_steps: float) -> float:
    """μ = M / (b̄·E[g]) [requests/s], arXiv 2605.04595."""
    return kv_tokens / (step_seconds * memory_token_steps)


def full_load_concurrency(demand: Demand, limits: Limits) -> dict[str, float]:
    """Requests that run at once when only that limit applies; a limit that is not known is left out."""
    running: dict[str, float] = {}
    if demand.steps is None:
        return running
    if limits.kv_tokens is not None:
        running[KV] = limits.kv_tokens * demand.steps / demand.memory_token_steps
    if limits.seqs is not None:
        running[SEQS] = limits.seqs
    if limits.step_tokens is not None and demand.compute_tokens:
        running[TOKENS] = limits.step_tokens * demand.steps / demand.compute_tokens
    return running


def binding(by_limit: Mapping[str, float]) -> str | None:
    """The limit with the smallest value, of concurrency or rate."""
    return min(by_limit, key=lambda limit: by_limit[limit]) if by_limit else None


def stable_limit(largest_request_tokens: float, kv_tokens: float, limit: str) -> float:
    """1 − δ with δ = largest (s + o)/M where KV binds; 1 where seats or the token budget bind."""
    return 1 - largest_request_tokens / kv_tokens if limit == KV else 1.0


def replicas_required(arrival_rate: float, service_rate: float, target_utilization: float) -> int:
    """⌈λ/(μ·target ρ)⌉; 0 when nothing arrives."""
    return ceil(arrival_rate / (service_rate * target_utilization) - TINY)
