"""What everything that streams can do: one kind of cause, one way to begin again, and one way to be asked."""

from __future__ import annotations

from typing import Protocol, TypeVar

from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval

Answer_co = TypeVar("Answer_co", covariant=True)


class Learner(Protocol):
    """Something that an engine's samples teach, in bounded memory.

    Asking it changes nothing, neither an answer nor a dump, however often and whenever it is asked. One whose answer
    rests on what only its owner knows (sizes of blocks, how long requests live) is asked by a method named for the
    question; ``get`` is kept for :class:`Part`.
    """

    def update(self, interval: Interval) -> None:
        """Take an interval, which says by its ``cause`` whether the chain broke there."""

    def begin_anew(self, cause: Cause) -> None:
        """Forget what says nothing about what comes after a break; called before :meth:`update` where there is one."""


class Part(Learner, Protocol[Answer_co]):
    """A learner that an engine is asked about by time alone: what follows from other answers too is a function."""

    def get(self, now: float, /) -> Answer_co:
        """What it knows at ``now``, which is the newest sample's time or later [unix s]."""


class TakesRequests(Protocol):
    """Something that a log's single requests teach."""

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended."""
