"""When the embedded engine is to be run again for one engine, and what its last run said."""

from __future__ import annotations

from collections.abc import Callable

from kvwatch.core.capacity.correction import Correction, FullEngineRun
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.options import DEFAULT_MODEL_LEAST_SECONDS

_MOVED_RATIO = 0.02
"""Relative change of E[g], E[T] or a limit's μ from which on a run is made before its time [1]. Choice: a run's own
noise of 1 to 2%."""


class Refresh:
    """Keeps the last correction; asks for a new run when the inputs have moved, and at least every ``max_age``."""

    def __init__(self, max_age_seconds: float, least_seconds: float = DEFAULT_MODEL_LEAST_SECONDS) -> None:
        self._max_age = max(max_age_seconds, least_seconds)
        self._least = least_seconds
        self._at = float("-inf")
        self._asked: tuple[float, ...] | None = None
        self.correction: Correction | None = None

    def take_due(self, now: float, current: Callable[[], FullEngineInputs | None]) -> FullEngineRun | None:
        """A run to make now, or ``None``. A run that was handed out counts as made.

        ``current`` gives the inputs as they are; it costs something, so it is asked only when time allows a run.
        """
        inputs = current() if now - self._at >= self._least else None
        if inputs is None:
            return None
        asked = fingerprint(inputs)
        moved = has_moved(self._asked or (), asked, _MOVED_RATIO)
        age = now - self._at
        if (self.correction is None and age >= self._least) or age >= (self._least if moved else self._max_age):
            self._at = now
            self._asked = asked
            return FullEngineRun(inputs)
        return None

    def forget(self) -> None:
        """The engine's settings changed: the last run says nothing any more."""
        self.correction = None
        self._asked = None
        self._at = float("-inf")


def has_moved(before: tuple[float, ...], now: tuple[float, ...], ratio: float) -> bool:
    """Whether one of some numbers is now another one, by more than ``ratio`` of the larger."""
    if len(before) != len(now):
        return True
    return any(abs(a - b) > ratio * max(abs(a), abs(b)) for a, b in zip(before, now, strict=True))


def fingerprint(inputs: FullEngineInputs) -> tuple[float, ...]:
    """The numbers that tell whether a full engine's inputs have moved: E[g], E[T] and each limit's μ."""
    demand = inputs.demand
    loads = inputs.closed_form
    return (demand.memory_token_steps, demand.steps or 0.0, *(load.rate for _, load in sorted(loads.items())))
