"""Requests that run against the time between their tokens and the tokens in a step: three counts of the same batch.

By Little's law the time that all tokens took, over the time that passed, is the number of requests that decode. While
an engine steps without a pause, tokens over steps are as many. The gauge has those whose prompts are computed as well,
and one that is evicted goes on to count the time since its last token while it waits.

Each of the three may be off by itself in one direction: tokens over steps are fewer where several API servers or the
stages of a pipeline count the same step, and more than the others where the engine idles in between; so a number is
refuted only by two that agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvwatch.core.conservation.contradiction import REFUTED_RATIO, RESTORED_RATIO, Contradiction, apart
from kvwatch.core.conservation.sums import Flow, Sums

_GROSS_RATIO = 3.0
"""Factor that is a contradiction on little evidence [1]. Choice: the gauge is read once an interval, and a few tens of
requests seen so are known to a third."""
_FEW_SEEN, _FEW_INTERVALS, _FEW_SECONDS = 50.0, 8.0, 15.0
"""Requests seen at scrapes, intervals, and time on which that rests [requests, intervals, s]. Choice: before the step
law is first fitted, which takes twenty busy intervals."""
_SEEN, _INTERVALS, _SECONDS = 400.0, 20.0, 60.0
"""The same for any contradiction [requests, intervals, s]. Choice: four hundred requests are known to a twentieth, and
a minute evens out scrapes that were late."""
_SURELY_BUSY = 5.0
"""Requests running at both ends of an interval in which the engine surely steps without a pause [requests]. Choice: of
a Poisson number of mean 5 less than 1% is 0."""
_LEAST_DECODING = 0.5
"""Tokens in a step over requests that run from which on most of these decode [1]. Choice: two API servers that count
the same step make it a half."""
_NEEDED = frozenset(
    ("seconds", "running_seconds", "inside_seconds", "inter_token_seconds_sum", "inter_token_count", "steps")
)
"""What an interval must show."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """How many requests decode, three ways [requests].

    Attributes:
        by_time: The time that tokens took over the time that passed.
        by_steps: Tokens after the first over steps.
        by_gauge: Requests that run, those whose prompts are computed too.
        inside: Requests that run or wait.
        prefilling: Those whose prompts are computed, as it is counted when they finish; ``None`` where it is not shown.
    """

    by_time: float
    by_steps: float
    by_gauge: float
    inside: float
    prefilling: float | None


class WorkAndTime:
    """Sums over the last minute or more, of all intervals and of those that were surely busy."""

    def __init__(self) -> None:
        self._all, self._busy = _Window(_refuted_gauge_or_time), _Window(_refuted_steps)

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()
        self._busy.clear()

    def count_again(self) -> None:
        """Those inside are others: what is counted so far says nothing of them."""
        self._all.count_again()
        self._busy.count_again()

    def update(self, flow: Flow, running: tuple[float | None, float | None]) -> dict[str, Contradiction]:
        """Take an interval with the gauge at its ends; what is contradicted now, by field."""
        self._all.update(flow)
        if all(r is not None and r >= _SURELY_BUSY for r in running):
            self._busy.update(flow)
        return self._all.found | self._busy.found


class _Window:
    """Sums of flows, and what they refute by one law, which takes the batch and a factor."""

    def __init__(self, law: Callable[[_Batch, float], dict[str, Contradiction]]) -> None:
        self._law = law
        self._sums = Sums()
        self._seen = 0.0
        """Requests seen at scrapes."""
        self.found: dict[str, Contradiction] = {}

    def clear(self) -> None:
        """Forget all."""
        self.count_again()
        self.found = {}

    def count_again(self) -> None:
        """Forget the sums."""
        self._sums.clear()
        self._seen = 0.0

    def update(self, flow: Flow) -> None:
        """Take an interval; one that does not show all is left out."""
        if not flow.keys() >= _NEEDED:
            return
        self._sums.add(flow)
        self._seen += max(flow["running_seconds"], flow["inter_token_seconds_sum"]) / flow["seconds"]
        batch, intervals, seconds = self._batch(), self._sums.intervals, self._sums.get("seconds") or 0.0
        if batch is None:
            return
        if self._seen >= _SEEN and intervals >= _INTERVALS and seconds >= _SECONDS:
            # one that was refuted must agree better to be believed again
            refuted, doubted = self._law(batch, REFUTED_RATIO), self._law(batch, RESTORED_RATIO)
            self.found = refuted | {k: v for k, v in doubted.items() if k in self.found}
            if self._seen >= 2 * _SEEN and intervals >= 2 * _INTERVALS and seconds >= 2 * _SECONDS:
                self._sums.halve()
                self._seen /= 2
        elif self._seen >= _FEW_SEEN and intervals >= _FEW_INTERVALS and seconds >= _FEW_SECONDS:
            self.found = self._law(batch, _GROSS_RATIO) | self.found

    def _batch(self) -> _Batch | None:
        sums = self._sums.known(*_NEEDED)
        prefill, steps = self._sums.get("prefill_seconds_sum"), sums["steps"]
        if not steps:
            return None
        return _Batch(
            by_time=sums["inter_token_seconds_sum"] / sums["seconds"],
            by_steps=sums["inter_token_count"] / steps,
            by_gauge=sums["running_seconds"] / sums["seconds"],
            inside=sums["inside_seconds"] / sums["seconds"],
            prefilling=prefill / sums["seconds"] if prefill is not None else None,
        )


def _refuted_gauge_or_time(batch: _Batch, ratio: float) -> dict[str, Contradiction]:
    """Whether the time of the tokens or the gauge contradicts the two others."""
    time = Contradiction("inter_token_seconds_sum", ("running", "steps"))
    if batch.by_time >= ratio * batch.inside and batch.by_time > 0:
        if batch.by_time >= ratio * batch.by_steps:
            return {time.field: time}
        if not apart(batch.by_time, batch.by_steps, REFUTED_RATIO):
            return {"running": Contradiction("running", ("inter_token_seconds_sum", "steps"))}
        return {}
    decoding = batch.by_steps >= _LEAST_DECODING * batch.by_gauge and batch.by_steps >= ratio * batch.by_time
    if decoding and batch.prefilling is not None and batch.by_gauge >= ratio * (batch.by_time + batch.prefilling):
        return {time.field: time}
    return {}


def _refuted_steps(batch: _Batch, ratio: float) -> dict[str, Contradiction]:
    """Whether more tokens were made in a step than requests run, while the time of the tokens agrees with the gauge."""
    if batch.by_steps >= ratio * max(batch.by_time, batch.by_gauge):
        return {"steps": Contradiction("steps", ("running", "inter_token_seconds_sum"))}
    return {}
