"""Requests that run against the time between their tokens and the tokens in a step: three counts of the same batch.

By Little's law the time that all tokens took, over the time that passed, is the number of requests that decode. While
an engine steps without a pause, tokens over steps are as many. The gauge has those whose prompts are computed as well,
and one that is evicted goes on to count the time since its last token while it waits. At a light load there are pauses,
which the gauge shows too: steps, each as long as the time between two tokens, fill the time in which requests run.

Each of the three may be off by itself in one direction: tokens over steps are fewer where several API servers or the
stages of a pipeline count the same step, and more than the others where the engine idles in between; so a number is
refuted only by two that agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from kvwatch.core.conservation.contradiction import CONTRADICTED_RATIO, RESTORED_RATIO, Contradiction, apart, held
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
_FEW_RATIO = 2.0
"""Factor on little evidence where counters are compared, which need no sampling [1]. Choice: only which of them is
wrong rests on the gauge, which is known to a seventh."""
_PAUSE_DEVIATIONS = 3.0
"""Standard errors that the time in which requests run may be off, as scrapes show it [1]. Choice: they are taken as
independent, and are not where requests last longer than the time between two scrapes."""
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
        "held_seconds",
        "queued_seconds",
        "inter_token_seconds_sum",
        "bounded_seconds",
        "busy_seconds",
        "step_seconds",
    )
)
"""What an interval must show."""
_SEEN = "seen"
"""Requests seen at scrapes [requests]. Definition."""

_TIME = Contradiction("inter_token_seconds_sum", ("running", "steps"))
_GAUGE = Contradiction("running", ("inter_token_seconds_sum", "steps"))
_STEPS = Contradiction("steps", ("running", "inter_token_seconds_sum"))
_COUNTERS = tuple(
    Contradiction(field, ("running", "inter_token_seconds/_bucket"))
    for field in (
        "finished",
        "prompt_tokens",
        "generation_tokens",
        "first_token_count",
        "steps",
        "inter_token_seconds_sum",
    )
)
"""Where the time of the tokens is as their counts in buckets say: then the counts are what does not fit the clock."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """How many requests decode, three ways [requests].

    Attributes:
        by_time: The time that tokens took over the time that passed.
        bounded: The same, in which no single interval counts for more than it can be.
        by_steps: Tokens after the first over steps, in the intervals in which a step ended.
        by_gauge: Requests that run in these, those whose prompts are computed too: a gauge may be stale in the others.
        held: Requests that run, or are evicted.
        prefilling: Those whose prompts are computed, as it is counted when they finish; ``None`` where it is not shown.
        stepped: Share of the time that these intervals are [ratio].
        running: Requests that run, over all the time.
        starting: Those that have no token yet, from their arrival on; ``None`` where it is not shown.
        busy: Share of the time in which requests run [ratio].
        stepping: The same, as steps would fill it that take as long as the time between two tokens.
        scrapes: Intervals that it rests on.
    """

    by_time: float
    bounded: float
    by_steps: float
    by_gauge: float
    held: float
    prefilling: float | None
    stepped: float
    running: float
    starting: float | None
    busy: float
    stepping: float
    scrapes: int

    @property
    def paused_error(self) -> float:
        """How far :attr:`busy` may be off, as a share of it [ratio]."""
        seen = self.busy * self.scrapes
        return _PAUSE_DEVIATIONS * sqrt((1 - self.busy) / seen) if seen else inf

    @property
    def gauge_factor(self) -> float | None:
        """How many times as many requests run as have begun and not finished by their latencies [1]."""
        if self.starting is None or not self.by_time + self.starting:
            return None
        return self.running / (self.by_time + self.starting)

    @property
    def pause_factor(self) -> float | None:
        """How many times as long requests run, apart from their prompts, as steps take that are counted [1]."""
        if self.starting is None or not self.stepping:
            return None
        return (self.busy * (1 - min(self.paused_error, 1.0)) - self.starting) / self.stepping


class WorkAndTime:
    """Sums over the last minute or more, of all intervals and of those that were surely busy."""

    def __init__(self) -> None:
        self._all, self._busy = _Window(_refuted_by_all, _GROSSLY_RATIO), _Window(_refuted_by_busy, _FEW_RATIO)
        self._waiting_for_a_step: Flow = {}

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()
        self._busy.clear()
        self._waiting_for_a_step = {}

    @property
    def found(self) -> dict[str, Contradiction]:
        """What is contradicted, by field."""
        return self._all.found | self._busy.found

    def update(self, flow: Flow) -> None:
        """Take an interval; one that does not show all is left out.

        One in which requests run and no step ends is a part of the next: the time of a token is counted when it comes.
        """
        if not flow.keys() >= _NEEDED:
            return
        flow = _together(self._waiting_for_a_step, flow)
        if flow["busy_seconds"] and not flow["steps"]:
            self._waiting_for_a_step = flow
            return
        self._waiting_for_a_step = {}
        self._all.update(flow)
        queued = flow["queued_seconds"] >= flow["seconds"] and flow["busy_seconds"] >= flow["seconds"]
        if queued or flow["running_seconds"] >= _BUSY_REQUESTS * flow["seconds"]:
            self._busy.update(flow)


class _Window:
    """Sums of flows, and what they refute by a law, which takes the batch and a factor: another on little evidence."""

    def __init__(self, law: Callable[[_Batch, float], Sequence[Contradiction]], few_ratio: float) -> None:
        self._law, self._few_ratio = law, few_ratio
        bounds = {"inter_token_least", "inter_token_most"}
        self._sums = Sums(_NEEDED | bounds | {_SEEN, "prefill_seconds_sum", "first_token_seconds"})
        self.found: dict[str, Contradiction] = {}

    def clear(self) -> None:
        """Forget all."""
        self._sums.clear()
        self.found = {}

    def update(self, flow: Flow) -> None:
        """Take an interval."""
        self._sums.add({**flow, _SEEN: max(flow["running_seconds"], flow["bounded_seconds"]) / flow["seconds"]})
        sums, intervals = self._sums.known(*_NEEDED, _SEEN), self._sums.intervals
        batch, seen, seconds = self._batch(sums), sums[_SEEN], sums["seconds"]
        if batch is None:
            return
        if seen >= _SEEN_REQUESTS and intervals >= _SEEN_INTERVALS and seconds >= _SEEN_SECONDS:
            self.found = held(self.found, lambda ratio: self._judge(batch, ratio))
            if seen >= 2 * _SEEN_REQUESTS and intervals >= 2 * _SEEN_INTERVALS and seconds >= 2 * _SEEN_SECONDS:
                self._sums.clear()
        elif seen >= _FEW_SEEN and intervals >= _FEW_INTERVALS and seconds >= _FEW_SECONDS:
            self.found |= {c.field: c for c in self._judge(batch, self._few_ratio)}

    def _judge(self, batch: _Batch, ratio: float) -> Sequence[Contradiction]:
        """What the law says; the time of tokens that fits its own buckets is not wrong alone."""
        found = self._law(batch, ratio)
        least, most = self._sums.get("inter_token_least"), self._sums.get("inter_token_most")
        time = self._sums.get("inter_token_seconds_sum")
        if _TIME not in found or least is None or most is None or time is None or not least <= time <= most:
            return found
        return _COUNTERS

    def _batch(self, sums: Flow) -> _Batch | None:
        prefill, seconds, stepped = self._sums.get("prefill_seconds_sum"), sums["seconds"], sums["stepped_seconds"]
        starting = self._sums.get("first_token_seconds")
        if not stepped:
            return None
        return _Batch(
            by_time=sums["inter_token_seconds_sum"] / seconds,
            bounded=sums["bounded_seconds"] / seconds,
            by_steps=sums["batch_seconds"] / stepped,
            by_gauge=sums["running_stepped_seconds"] / stepped,
            held=sums["held_seconds"] / seconds,
            prefilling=prefill / seconds if prefill is not None else None,
            stepped=stepped / seconds,
            running=sums["running_seconds"] / seconds,
            starting=starting / seconds if starting is not None else None,
            busy=sums["busy_seconds"] / seconds,
            stepping=sums["step_seconds"] / seconds,
            scrapes=self._sums.intervals,
        )


def _refuted_by_all(batch: _Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether the time of the tokens, the gauge or the steps contradicts the two others, pauses included."""
    if batch.bounded >= ratio * batch.held and batch.bounded > 0:
        if batch.bounded >= ratio * batch.by_steps:
            return [_TIME]
        same = not apart(batch.bounded, batch.by_steps, CONTRADICTED_RATIO)
        return [_GAUGE] if same else []
    many, slow = batch.gauge_factor, batch.pause_factor
    if many is not None and slow is not None and max(many, slow) >= ratio:
        if many < ratio:
            return [_STEPS]
        return [_TIME] if slow >= ratio else [_GAUGE]
    ratio = max(ratio, _GROSSLY_RATIO)
    decoding = batch.by_steps >= _LEAST_DECODING * batch.by_gauge and batch.by_steps >= ratio * batch.by_time
    stepping = batch.by_gauge * batch.stepped
    if decoding and batch.prefilling is not None and stepping >= ratio * (batch.by_time + batch.prefilling):
        return [_TIME]
    return []


def _refuted_by_busy(batch: _Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether more tokens were made in a step than requests run; which of them is wrong says the time of the tokens.

    Where tokens in a step are as many as requests that run, the time of the tokens is no less: there are no pauses, and
    a prompt that is computed makes no token.
    """
    if batch.by_steps < ratio * batch.by_gauge:
        same = not apart(batch.by_steps, batch.by_gauge, RESTORED_RATIO)
        return [_TIME] if same and batch.by_steps >= ratio * batch.by_time else []
    if batch.by_steps >= ratio * batch.by_time:
        return [_STEPS]
    return [] if apart(batch.by_steps, batch.by_time, RESTORED_RATIO) else [_GAUGE]


def _together(one: Flow, other: Flow) -> Flow:
    """Two intervals as one."""
    return {name: one.get(name, 0.0) + value for name, value in other.items() if not one or name in one}
