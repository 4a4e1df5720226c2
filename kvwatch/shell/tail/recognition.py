"""Whether a log is what it is configured as: one of which no line is ever known is another program's, or misnamed."""

from __future__ import annotations

from collections import Counter

from kvwatch.parse.logs import Reading

ENOUGH_LINES = 300
"""Lines without one that is known from which on the source is reported [lines]. Choice: a vLLM under load writes a line
of its own every ten seconds, a gateway nothing but requests; no start-up writes as many lines of libraries."""


class Recognition:
    """Counts the lines of one source until one is recognized."""

    def __init__(self) -> None:
        self.lines = 0
        self.results: Counter[str] = Counter()
        """What became of them."""
        self._said: bool | None = None

    def update(self, reading: Reading) -> bool | None:
        """Take a chunk; true when its first line is recognized, false when it is time to report that none is."""
        if self._said is True:
            return None
        self.lines += sum(reading.results.values())
        self.results.update(reading.results)
        if reading.recognized:
            self._said = True
            return True
        if self._said is None and self.lines >= ENOUGH_LINES:
            self._said = False
            return False
        return None
