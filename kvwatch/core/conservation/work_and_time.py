"""Requests that run against the time between their tokens and the tokens in a step: three counts of the same batch.

By Little's law the time that all tokens took, over the time that passed, is the number of requests that decode. While
an engine steps without a pause, tokens over steps are as many. The gauge has those whose prompts are computed as well,
and one that is evicted goes on to count the time since its last token while it waits. At a light load there are pauses,
which the gauge shows too: steps, each as long as the time between two tokens, fill the time in which requests run.

One that the two others contradict is wrong, once enough requests have been seen for long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvwatch.core.conservation.contradiction import Contradiction, held
from kvwatch.core.conservation.decoding import Batch, decoding
from kvwatch.core.conservation.outvoted import COUNTERS, GROSSLY_RATIO, TIME, refuted_by_all, refuted_by_busy
from kvwatch.core.conservation.sums import Flow, Sums

_FEW_SEEN = 50.0
"""Requests seen at scrapes, added up, on which a gross contradiction rests [requests]. Choice: fifty are known to a
seventh."""
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
_BUSY_REQUESTS = 5.0
"""Requests running in the mean of an interval in which the engine surely steps without a pause [requests]. Choice: of a
Poisson number of mean 5 less than 1% is 0."""
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


class WorkAndTime:
    """Sums over the last minute or more, of all intervals and of those that were surely busy."""

    def __init__(self) -> None:
        self._all, self._busy = _Window(refuted_by_all, GROSSLY_RATIO), _Window(refuted_by_busy, _FEW_RATIO)
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

    def __init__(self, law: Callable[[Batch, float], Sequence[Contradiction]], few_ratio: float) -> None:
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
        batch, seen, seconds = decoding(sums, self._sums), sums[_SEEN], sums["seconds"]
        if batch is None:
            return
        if seen >= _SEEN_REQUESTS and intervals >= _SEEN_INTERVALS and seconds >= _SEEN_SECONDS:
            self.found = held(self.found, lambda ratio: self._judge(batch, ratio))
            if seen >= 2 * _SEEN_REQUESTS and intervals >= 2 * _SEEN_INTERVALS and seconds >= 2 * _SEEN_SECONDS:
                self._sums.clear()
        elif seen >= _FEW_SEEN and intervals >= _FEW_INTERVALS and seconds >= _FEW_SECONDS:
            self.found |= {c.field: c for c in self._judge(batch, self._few_ratio)}

    def _judge(self, batch: Batch, ratio: float) -> Sequence[Contradiction]:
        """What the law says; the time of tokens that fits its own buckets is not wrong alone."""
        found = self._law(batch, ratio)
        least, most = self._sums.get("inter_token_least"), self._sums.get("inter_token_most")
        time = self._sums.get("inter_token_seconds_sum")
        if TIME not in found or least is None or most is None or time is None or not least <= time <= most:
            return found
        return COUNTERS


def _together(one: Flow, other: Flow) -> Flow:
    """Two intervals as one."""
    return {name: one.get(name, 0.0) + value for name, value in other.items() if not one or name in one}
