"""δ: how far below μ an engine is surely stable, by the largest request of its traffic.

The largest request is exact from a log, a bound from histogram buckets. Source of the bound on ρ, 1 − δ with δ the
largest request over M: Nie, Si, Zhou, arXiv 2605.04595.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from kvwatch.core.capacity.kv_capacity import doubt_of
from kvwatch.core.interval import Cause, Ended, Interval, KvCapacity
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import Histogram
from kvwatch.queueing import capacity as queueing
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
