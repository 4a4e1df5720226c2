"""1 − δ: how near to μ an engine is surely stable, with δ the largest request of its traffic over M.

Source of the bound on ρ: Nie, Si, Zhou, arXiv 2605.04595.
"""

from __future__ import annotations

from math import isfinite

from kvwatch.core.capacity.kv_capacity import doubt_of
from kvwatch.core.capacity.largest_request import Largest
from kvwatch.core.interval import KvCapacity
from kvwatch.estimate import Estimate, Reason
from kvwatch.queueing import capacity as queueing


def stable_limit(
    limit: str | None, largest: Largest | None, max_model_len: int | None, capacity: KvCapacity | None
) -> Estimate:
    """1 − δ: the utilization up to which the engine is surely stable while ``limit`` binds."""
    if limit is None:
        return Estimate(verdict=Reason.DEPENDS)
    if limit != queueing.KV:
        return Estimate(1.0, verdict=Reason.OK)
    tokens = _tokens(largest, max_model_len) if largest is not None else None
    if largest is None or tokens is None:
        return Estimate(verdict=Reason.DELTA_UNKNOWN)
    if capacity is None:
        return Estimate(verdict=Reason.CAPACITY_UNKNOWN)
    if tokens > capacity.tokens:
        # no request is larger than the memory that it was in: a bound says nothing then, and a length refutes M
        return Estimate(verdict=Reason.DELTA_IS_BOUND if largest.is_bound else Reason.CAPACITY_REFUTED)
    verdict = Reason.DELTA_IS_BOUND if largest.is_bound else doubt_of(capacity) or Reason.OK
    return Estimate(queueing.stable_limit(tokens, capacity.tokens, limit), verdict=verdict)


def _tokens(largest: Largest, max_model_len: int | None) -> float | None:
    """Length of the largest request [tokens], no bound above what the server admits; ``None`` where none is known."""
    tokens = largest.tokens
    if largest.is_bound and max_model_len is not None:
        tokens = min(tokens, float(max_model_len))
    return tokens if isfinite(tokens) else None
