"""How much it matters for μ that seats or token budget are assumed: by how much others would change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from kvwatch.core.assumptions import Assumed, Assumptions
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.estimate import Reason
from kvwatch.queueing.capacity import binding

_MATTERS_RATIO = 1.25
"""Factor between the μ that is given and that under another possible setting from which on it is doubted [1]. Choice: a
quarter is what a μ at moderate load is known to; more would be a number that a setting nobody has seen refutes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """μ under other settings over the μ that is given [1]; ``reason`` where one that is possible changes it much.

    ``lower`` and ``upper`` are those under vLLM's defaults for other devices.
    """

    lower: float = 1.0
    upper: float = 1.0
    reason: Reason | None = None


def spread(full: FullEngineInputs, assumptions: Assumptions, unit_tokens: float = 1.0) -> Spread:
    """What follows from what is assumed; nothing where all is known. Budgets are counted in units of tokens."""
    given = _rate(full)
    if given is None:
        return Spread()
    found = Spread()
    for assumed, change, reason in (
        (assumptions.seats, partial(_with_seats, full), Reason.SEATS_UNKNOWN),
        (assumptions.budget, partial(_with_budget, full, unit_tokens), Reason.BUDGET_UNKNOWN),
    ):
        if assumed is not None:
            found = wider(found, _spread_of(assumed, change, given, reason))
    return found


def capacity_spread(full: FullEngineInputs, shown_tokens: float | None) -> Spread:
    """What follows if the server shows M right and the share of it that is in use wrong; M in the units of lengths."""
    given = _rate(full)
    other = _rate(replace(full, kv_tokens=shown_tokens)) if shown_tokens is not None else None
    if given is None or other is None:
        return Spread()
    return Spread(min(other / given, 1.0), max(other / given, 1.0))


def _spread_of(assumed: Assumed, change: Callable[[int], FullEngineInputs], given: float, reason: Reason) -> Spread:
    ratios = {n: (_rate(change(n)) or given) / given for n in {assumed.possible, assumed.lower, assumed.upper}}
    matters = max(max(ratio, 1 / ratio) for ratio in ratios.values()) > _MATTERS_RATIO
    lower, upper = ratios[assumed.lower], ratios[assumed.upper]
    return Spread(min(lower, upper, 1.0), max(lower, upper, 1.0), reason if matters else None)


def wider(a: Spread, b: Spread) -> Spread:
    """What follows from both."""
    return Spread(a.lower * b.lower, a.upper * b.upper, a.reason or b.reason)


def _with_seats(full: FullEngineInputs, seats: int) -> FullEngineInputs:
    return replace(full, max_num_seqs=max(seats, 1))


def _with_budget(full: FullEngineInputs, unit_tokens: float, budget: int) -> FullEngineInputs:
    return replace(full, max_num_batched_tokens=max(round(budget / unit_tokens), 1))


def _rate(full: FullEngineInputs) -> float | None:
    """μ by the closed form [requests/s]."""
    loads = full.closed_form
    limit = binding({name: load.running for name, load in loads.items()})
    return loads[limit].rate if limit is not None else None
