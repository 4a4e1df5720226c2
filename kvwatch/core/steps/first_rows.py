"""From which rows on is there a law, and what is each of them worth while there is nothing to hold it against?"""

from __future__ import annotations

from statistics import median

from kvwatch.core.steps.mean_step import StepRow

_ENOUGH = 20
"""Rows from which on a first law is fitted [rows]. Choice: four for each coefficient; half has the first μ twice as
early and less sure, double keeps it back for half a minute more."""
_LEAST = 8
"""Rows that do where scrapes are rare [rows]. Choice: more than there are coefficients; the prior has the rest."""
_LONGEST_WAIT_SECONDS = 60.0
"""How long rows are collected before a few have to do [s]. Choice: with a scrape every 15 s twenty rows would take five
minutes."""


class FirstRows:
    """Rows that are kept until there are enough for a first fit."""

    def __init__(self) -> None:
        self._rows: list[StepRow] = []
        self._since: float | None = None

    def add(self, at: float, rows: list[StepRow]) -> list[tuple[StepRow, float]]:
        """Take the rows of an interval that ends at ``at`` [unix s].

        All that there are with their weights once they do, which are then given out; nothing before.
        """
        self._rows += rows
        self._since = at if self._since is None and rows else self._since
        lasted = at - self._since if self._since is not None else 0.0
        if len(self._rows) < _ENOUGH and (len(self._rows) < _LEAST or lasted < _LONGEST_WAIT_SECONDS):
            return []
        known, self._rows = self._rows, []
        seconds = median(row.seconds for row in known)
        return [(row, _weight(row, seconds)) for row in known]


def _weight(row: StepRow, usual_seconds: float) -> float:
    """What takes far longer than its like says less; with prompts it may."""
    expected = max(usual_seconds, row.seconds if row.composition[1] else usual_seconds)
    return min(1.0, expected / row.seconds) ** 2 * min(row.intervals, 1.0)
