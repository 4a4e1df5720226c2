"""What is assumed of the settings that nothing shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumed:
    """A setting that nothing shows: what is computed with, and between which values vLLM's defaults lie.

    ``possible`` is the lowest value that it may have at all: somebody may have set it below any default.
    """

    value: int
    lower: int
    upper: int
    possible: int


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed of seats [requests] and token budget [tokens]; ``None`` where they are known."""

    seats: Assumed | None = None
    budget: Assumed | None = None
