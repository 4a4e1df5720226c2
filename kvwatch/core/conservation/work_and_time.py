"""Requests that run against the time between their tokens and the tokens in a step: three counts of the same batch.

By Little's law the time that all tokens took, over the time that passed, is the number of requests that decode. While
an engine steps without a pause, tokens over steps are as many. The gauge has those whose prompts are computed as well,
and one that is evicted goes on to count the time since its last token while it waits.

Each of the three may be off by itself in one direction: tokens over steps are fewer where several API servers or the
stages of a pipeline count the same step, and more than the others where the engine idles in between; so a number is
refuted only by two that agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvwatch.core.conservation.contradiction import CONTRADICTED_RATIO, Contradiction, apart, held
from kvwatch.core.conservation.sums import Flow, Sums

_GROSSLY_RATIO = 3.0
"""Factor that is a contradiction on little evidence, and the least where it rests on how long prompts took [1]. Choice:
the gauge is read once an interval, and a few tens of requests seen so are known to a third; prompts are counted when
their request finishes."""
_FEW_SEEN = 50.0
"""Requests seen at scrapes, added up, on which that rests [requests]. Choice: fifty are known to a seventh."""
_FEW_INTERVALS = 8
"""Intervals on which it rests [intervals]. Choice: before the step law is first fitted, on twenty busy ones."""
_FEW_SECONDS = 15.0
"""Time on which it rests [s]. Choice: three times the longest step."""
_SEEN_REQUESTS = 200.0
"""Requests seen at scrapes on which any contradiction rests [requests]. Choice: they are known to a fourteenth."""
_SEEN_INTERVALS = 20
"""Intervals on which it rests [intervals]. Choice: a scrape that is late is a twentieth of them."""
_SEEN_SECONDS = 60.0
"""Time on which it rests [s]. Choice: a pause of the host that holds up scrapes is short against a minute."""
_BUSY_REQUESTS = 5.0
"""Requests running in the mean of an interval in which the engine surely steps without a pause [requests]. Choice: of a
Poisson number of mean 5 less than 1% is 0."""
_LEAST_DECODING = 0.5
"""Tokens in a step over requests that run from which on most of these decode [1]. Choice: two API servers that count
the same step make it a half."""
_NEEDED = frozenset(
    (
        "seconds",
        "running_seconds",
        "stepped_seconds",
        "running_stepped_seconds",
        "batch_seconds",
        "inside_seconds",
        "inter_token_seconds_sum",
        "bounded_seconds",
    )
)
"""What an interval must show."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """How many requests decode, three ways [requests].

    Attributes:
        by_time: The time that tokens took over the time that passed.
        bounded: The same, in which no single interval counts for more than it can be.
        by_steps: Tokens after the first over steps, in the intervals in which a step ended.
        by_gauge: Requests that run in these, those whose prompts are computed too: a gauge may be stale in the others.
        inside: Requests that run or wait.
        prefilling: Those whose prompts are computed, as it is counted when they finish; ``None`` where it is not shown.
        stepped: Share of the time that these intervals are [ratio].
    """

    by_time: float
    bounded: float
    by_steps: float
    by_gauge: float
    inside: float
    prefilling: float | None
    stepped: float


class WorkAndTime:
    """Sums over the last minute or more, of all intervals and of those that were surely busy."""

    def __init__(self) -> None:
        self._all, self._busy = _Window(_refuted_gauge_or_time), _Window(_refuted_steps)

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()
        self._busy.clear()

    @property
    def found(self) -> dict[str, Contradiction]:
        """What is contradicted, by field."""
        return self._all.found | self._busy.found

    def update(self, flow: Flow) -> None:
        """Take an interval; one that does not show all is left out."""
        if not flow.keys() >= _NEEDED:
            return
        self._all.update(flow)
        if flow["running_seconds"] >= _BUSY_REQUESTS * flow["seconds"]:
            self._busy.update(flow)


class _Window:
    """Sums of flows, and what they refute by one law, which takes the batch and a factor."""

    def __init__(self, law: Callable[[_Batch, float], Sequence[Contradiction]]) -> None:
        self._law = law
        self._sums = Sums(_NEEDED | {"prefill_seconds_sum"})
        self._seen = 0.0
        """Requests seen at scrapes."""
        self.found: dict[str, Contradiction] = {}

    def clear(self) -> None:
        """Forget all."""
        self._sums.clear()
        self._seen, self.found = 0.0, {}

    def update(self, flow: Flow) -> None:
        """Take an interval."""
        sums = self._sums
        sums.add(flow)
        self._seen += max(flow["running_seconds"], flow["bounded_seconds"]) / flow["seconds"]
        batch, intervals, seconds = self._batch(), sums.intervals, sums.get("seconds") or 0.0
        if batch is None:
            return
        if self._seen >= _SEEN_REQUESTS and intervals >= _SEEN_INTERVALS and seconds >= _SEEN_SECONDS:
            self.found = held(self.found, lambda ratio: self._law(batch, ratio))
            if self._seen >= 2 * _SEEN_REQUESTS and intervals >= 2 * _SEEN_INTERVALS and seconds >= 2 * _SEEN_SECONDS:
                sums.clear()
                self._seen = 0.0
        elif self._seen >= _FEW_SEEN and intervals >= _FEW_INTERVALS and seconds >= _FEW_SECONDS:
            self.found |= {c.field: c for c in self._law(batch, _GROSSLY_RATIO)}

    def _batch(self) -> _Batch | None:
        sums = self._sums.known(*_NEEDED)
        prefill, seconds, stepped = self._sums.get("prefill_seconds_sum"), sums["seconds"], sums["stepped_seconds"]
        if not stepped:
            return None
        return _Batch(
            by_time=sums["inter_token_seconds_sum"] / seconds,
            bounded=sums["bounded_seconds"] / seconds,
            by_steps=sums["batch_seconds"] / stepped,
            by_gauge=sums["running_stepped_seconds"] / stepped,
            inside=sums["inside_seconds"] / seconds,
            prefilling=prefill / seconds if prefill is not None else None,
            stepped=stepped / seconds,
        )


def _refuted_gauge_or_time(batch: _Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether the time of the tokens or the gauge contradicts the two others."""
    time = Contradiction("inter_token_seconds_sum", ("running", "steps"))
    if batch.bounded >= ratio * batch.inside and batch.bounded > 0:
        if batch.bounded >= ratio * batch.by_steps:
            return [time]
        same = not apart(batch.bounded, batch.by_steps, CONTRADICTED_RATIO)
        return [Contradiction("running", ("inter_token_seconds_sum", "steps"))] if same else []
    ratio = max(ratio, _GROSSLY_RATIO)
    decoding = batch.by_steps >= _LEAST_DECODING * batch.by_gauge and batch.by_steps >= ratio * batch.by_time
    stepping = batch.by_gauge * batch.stepped
    if decoding and batch.prefilling is not None and stepping >= ratio * (batch.by_time + batch.prefilling):
        return [time]
    return []


def _refuted_steps(batch: _Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether more tokens were made in a step than requests run, while the time of the tokens agrees with the gauge."""
    if batch.by_steps >= ratio * max(batch.by_time, batch.by_gauge):
        return [Contradiction("steps", ("running", "inter_token_seconds_sum"))]
    return []
