"""δ is the largest request over M: the largest request of an engine's traffic, s + o.

It is exact from a log, and a bound from histogram buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval
from kvwatch.facts import Histogram
from kvwatch.stats.decaying_max import DecayingMax

_MEMORY_SECONDS = 3600.0
"""How long the largest request is remembered at least [s]. Choice: an hour, twice as long at most; the next one as
large comes within it where such requests matter."""


@dataclass(frozen=True, slots=True)
class Largest:
    """Largest s + o [tokens]; ``is_bound`` where only an upper bound is known."""

    tokens: float
    is_bound: bool


class LargestRequest:
    """Largest s + o over the last one to two hours."""

    def __init__(self) -> None:
        self._seen = DecayingMax(_MEMORY_SECONDS)
        self._prompt_edge = DecayingMax(_MEMORY_SECONDS)
        self._output_edge = DecayingMax(_MEMORY_SECONDS)
        self._last: tuple[Histogram | None, Histogram | None] = (None, None)

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended: of one that completed the log shows s + o."""
        record = ended.record
        if record.completed:
            self._seen.update(record.finish, record.prompt_tokens + record.completion_tokens)

    def update(self, interval: Interval) -> None:
        """Take an interval: note which buckets filled in it (all that are not empty, where it begins a chain)."""
        at, sample = interval.end, interval.sample
        prompt, output = sample.request_prompt_tokens, sample.request_generation_tokens
        if interval.begins or interval.lengths_count:
            for edges, last, hist in zip(
                (self._prompt_edge, self._output_edge), self._last, (prompt, output), strict=True
            ):
                edge = _highest_filled_edge(None if interval.begins else last, hist)
                if edge is not None:
                    edges.update(at, edge)
            self._last = (prompt, output)

    def begin_anew(self, cause: Cause) -> None:
        """What was asked before a break may be asked after it: all stays."""

    def get(self, now: float) -> Largest | None:
        """The largest request; ``None`` if no bound is known."""
        exact = self._seen.get(now)
        if exact is not None:
            return Largest(exact, is_bound=False)
        prompt, output = self._prompt_edge.get(now), self._output_edge.get(now)
        if prompt is None or output is None:
            return None
        return Largest(prompt + output, is_bound=True)

    def dump(self) -> dict[str, object]:
        """What a log has shown, as plain numbers; the histograms show theirs again after a restart."""
        return {"seen": self._seen.dump()}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        seen = state["seen"]
        if not isinstance(seen, list):
            raise TypeError("the largest request must be a list")
        self._seen.restore(seen)


def _highest_filled_edge(before: Histogram | None, after: Histogram | None) -> float | None:
    """Upper edge of the highest bucket that holds an observation that was not there before."""
    if after is None or not after.cumulative:
        return None
    rises: Sequence[float] = after.cumulative
    if before is not None and before.edges == after.edges:
        rises = [b - a for a, b in zip(before.cumulative, after.cumulative, strict=True)]
    # from the top bucket down, the first one in which something came
    for i in range(len(rises) - 1, -1, -1):
        if rises[i] > (rises[i - 1] if i else 0.0):
            return after.edges[i]
    return None
