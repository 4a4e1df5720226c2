"""What everything that streams can do: one kind of cause, and one way to begin again."""

from __future__ import annotations

from typing import Protocol

from kvwatch.core.interval import Cause, Ended, Interval


class Part(Protocol):
    """Something that an engine's samples teach, in bounded memory.

    What it answers is asked in its own way, most often by ``get``; asking changes no later answer.
    """

    def update(self, interval: Interval) -> None:
        """Take an interval, which says by its ``cause`` whether the chain broke there."""

    def begin_anew(self, cause: Cause) -> None:
        """Forget what says nothing about what comes after a break; called before :meth:`update` where there is one."""


class TakesRequests(Protocol):
    """Something that a log's single requests teach."""

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended."""


class Kept(Protocol):
    """Something that is worth keeping over a restart of kvwatch."""

    def dump(self) -> dict[str, object] | None:
        """State as plain numbers, text, lists and objects; ``None`` where there is nothing to keep."""

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
