"""Arrivals as the metrics show them: what finished and what is inside must once have come, as vLLM counts no arrivals.

Flow balance: arrivals = Δfinished + Δ(running + waiting). It counts the queue, so it is right in overload too.
Requests that the client aborts leave no trace in it; those that had a first token do in a second balance,
Δfirst tokens + Δwaiting, which is used when it is larger beyond noise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.estimate import Reason
from kvwatch.stats.counting import counting_noise
from kvwatch.stats.flow import WindowedCount

_TOLERATED_RATIO = 0.1
"""Share of λ's window that may have vanished before λ is withheld [1]. Choice: they are added back, and what arrived
and vanished within one interval is missed; with a tenth vanished that error is a hundredth."""
_MOST_DROPS = 256
"""Drops of the requests inside that are remembered [intervals]. Choice: memory; nearly every scrape of a window of five
minutes may have one."""

_SERVED = ("finished", "running", "waiting")
"""Fields of a sample that the first balance is made of. Definition."""
_STARTED = ("first_token_count", "waiting")
"""Those of the second. Definition."""


@dataclass(frozen=True, slots=True)
class Balanced:
    """Arrivals in a window [requests], how they were counted, and the doubt about that."""

    count: float
    source: str
    doubt: Reason


class FlowBalance:
    """Counts of one engine's flow over the longest window."""

    def __init__(self, longest_seconds: float) -> None:
        self._served = WindowedCount(longest_seconds)
        self._started = WindowedCount(longest_seconds)
        self._spoiled: dict[Reason, float] = {}
        self._drops: deque[tuple[float, float]] = deque(maxlen=_MOST_DROPS)
        self._preempted: float | None = None
        self._first_tokens: float | None = None
        self._begun: float | None = None
        """Requests that had finished or ran when first tokens were last counted."""

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        at, sample = interval.end, interval.sample
        if interval.cause is Cause.RESTART:
            self._spoiled = {Reason.RESTART: at}
        refuted = {c.field for c in interval.contradicted}
        if not refuted.isdisjoint(_SERVED):
            self._served.clear()  # a total that was wrong for a while may jump when it is right again
        if not refuted.isdisjoint(_STARTED):
            self._started.clear()
        if sample.asleep:
            self._spoiled[Reason.ASLEEP] = at
        if interval.returned and self._drops:
            self._drops.pop()
        elif interval.vanished:
            self._drops.append((at, interval.vanished))
        if sample.running is None or sample.waiting is None:
            return
        # what stands would rise at a stroke by what came meanwhile; left out, that is spread over the time it took
        stands = interval.standing.keys()
        if sample.finished is not None and stands.isdisjoint(_SERVED):
            self._served.update(at, sample.finished + sample.running + sample.waiting)
        begun = sample.finished + sample.running if sample.finished is not None else None
        if sample.first_token_count != self._first_tokens:
            self._first_tokens, self._begun = sample.first_token_count, begun
        # who finishes has had a first token: that they are more than had begun shows that those are not counted
        uncounted = sample.finished is not None and self._begun is not None and sample.finished > self._begun
        if sample.first_token_count is not None and stands.isdisjoint(_STARTED) and not uncounted:
            self._started.update(at, sample.first_token_count + sample.waiting)
        if interval.preemptions:
            self._preempted = at

    def begin_anew(self, cause: Cause) -> None:
        """No balance spans a restart of the counters; one over aborts says so itself."""
        if cause is Cause.RESTART:
            self._served.clear()
            self._started.clear()
            self._drops.clear()
            self._first_tokens = self._begun = None

    @property
    def seen(self) -> bool:
        """Whether the metrics that it needs are there."""
        return self._served.seen

    def rise(self, seconds: float) -> float | None:
        """Arrivals in the last ``seconds`` by the first balance; ``None`` until it reaches so far back."""
        return self._served.rise(seconds)

    def rises(self, seconds: float, bins: int) -> list[float] | None:
        """The same in equal parts of the window."""
        return self._served.rises(seconds, bins)

    def between(self, start: float, end: float, partial: bool) -> float | None:
        """Arrivals between two times; see :data:`kvwatch.core.traffic.start_log.Balance`."""
        return self._served.between(start, end, partial=partial)

    def mended(self, balanced: float, lost: float, seconds: float, now: float) -> Balanced:
        """The balance with those that left no trace in it; ``lost`` are those that a log shows to be given up."""
        dropped = self._dropped(seconds, now)
        count, source, doubt = balanced + dropped, "balance", Reason.ABORT_BIASED if dropped else Reason.OK
        started = self._started.rise(seconds)
        # a preempted request waits again, and would be counted twice
        preempted = self._preempted is not None and now - self._preempted <= seconds
        if started is not None and not preempted and started - count > counting_noise(count):
            count, source, doubt = started, "first_tokens", Reason.ABORT_BIASED
        if lost and balanced + lost >= count:
            count, source, doubt = balanced + lost, "abandoned", Reason.OK
        return Balanced(max(count, 0.0), source, doubt)

    def spoiled_by(self, seconds: float, now: float) -> Reason | None:
        """Why the last ``seconds`` cannot be balanced; a window that a restart emptied says so until it is full.

        A few requests that vanished are added back: they had arrived. Where they are many, those that arrived in
        the same instant and cannot be distinguished from them are many too.
        """
        for reason, at in self._spoiled.items():
            if now - at <= seconds:
                return reason
        dropped = self._dropped(seconds, now)
        if dropped and dropped > _TOLERATED_RATIO * ((self._served.rise(seconds) or 0.0) + dropped):
            return Reason.ABORTS
        return None

    def _dropped(self, seconds: float, now: float) -> float:
        """Requests that vanished without finishing in the last ``seconds``."""
        return sum(count for at, count in self._drops if now - at <= seconds)
