"""Why an interval does not go on from the one before."""

from __future__ import annotations

from enum import StrEnum

CREATED_RESOLUTION_SECONDS = 0.001
"""Difference of two ``_created`` up to which they are the same [s]. Choice: they are printed with a rounding error; a
process takes far longer to start."""


class Cause(StrEnum):
    """Why an interval does not go on from the one before."""

    FIRST = "first"
    """There is no sample before this one."""
    RESTART = "restart"
    """The counters started again: another process, or the same with new counters."""
    ABORTS = "aborts"
    """A large part of the requests inside vanished: those inside are others than there were."""
    UNIT = "unit"
    """Requests make another number of tokens in a step: lengths are counted in another unit from here on."""

    CAPACITY = "capacity"
    """M is believed to be another one: what is held of it is counted on another scale from here on."""

    REFUTED = "refuted"
    """Other metrics are contradicted than before: what was learnt from those that are now is wrong."""

    @property
    def changes_requests(self) -> bool:
        """Whether those inside are others than before, or may be; else only the scale has changed."""
        return self not in (Cause.UNIT, Cause.CAPACITY, Cause.REFUTED)
