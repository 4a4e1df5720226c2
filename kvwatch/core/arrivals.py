"""λ: arrivals per second, balanced from what finished and what is inside, as vLLM counts no arrivals.

Flow balance: arrivals = Δfinished + Δ(running + waiting). It counts the queue, so it is right in overload too.
Requests that the client aborts leave no trace in it; those that had a first token do in a second balance,
Δfirst tokens + Δwaiting, which is used when it is larger beyond noise.

Logs mend that. The server's own log of starts is λ itself where it is connected and alive. Requests that a log shows
to have ended without completing are added to the balance, which they have left without a trace. One of these mends is
used, the one that finds most; never two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from kvwatch.core.interval import Cause, Ended, Interval
from kvwatch.core.start_log import LoggedArrivals, StartLog
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.facts import RequestAborted, RequestStarted
from kvwatch.stats.binned_count import BinnedCount
from kvwatch.stats.dispersion import index_of_dispersion
from kvwatch.stats.flow import WindowedCount
from kvwatch.stats.normal import Z90
from kvwatch.stats.trend import Trend, theil_sen

_AHEAD_SECONDS = 60.0
"""Log lines farther in the future come from a clock that is not this one."""
_TURNED_AWAY_SECONDS = 1.0
"""A request that failed sooner was refused, by a gateway or for its content, and never waited for the engine."""
_TOLERATED_RATIO = 0.1
_BINS = 20
"""Parts of the longest window in which arrivals are counted for burstiness and trend."""


SOURCES = ("balance", "first_tokens", "start_log", "abandoned")
"""Where λ comes from: the flow balance, first tokens, the log of starts, or the balance and what logs show as lost."""


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """λ over one window [requests/s], whose interval is for the rate behind the count, and where it comes from.

    ``source`` is one of :data:`SOURCES`; ``residual_ratio`` how far the log of starts is above the balance, over it.
    """

    estimate: Estimate
    source: str = "balance"
    residual_ratio: float | None = None


class Arrivals:
    """λ of one engine over several trailing windows."""

    def __init__(self, windows_seconds: Mapping[str, float], patience_seconds: float = 10.0) -> None:
        self._windows = dict(windows_seconds)
        self._longest = max(self._windows.values())
        self._served = WindowedCount(self._longest)
        self._started = WindowedCount(self._longest)
        self._spoiled: dict[Reason, float] = {}
        self._drops: deque[tuple[float, float]] = deque(maxlen=256)
        self._preempted: float | None = None
        self.starts = StartLog(self._longest, patience_seconds)
        self._abandoned = {source: BinnedCount(self._longest) for source in ("records", "aborts")}

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        at, sample = interval.end, interval.sample
        if interval.cause is Cause.RESTART:
            self._spoiled = {Reason.RESTART: at}
        if sample.asleep:
            self._spoiled[Reason.ASLEEP] = at
        if interval.returned and self._drops:
            self._drops.pop()
        elif interval.vanished:
            self._drops.append((at, interval.vanished))
        self.starts.forget_if_silent(at)
        if sample.running is None or sample.waiting is None:
            return
        inside = sample.running + sample.waiting
        if sample.finished is not None:
            self._served.update(at, sample.finished + inside)
        if sample.first_token_count is not None:
            self._started.update(at, sample.first_token_count + sample.waiting)
        if interval.preemptions:
            self._preempted = at

    def begin_anew(self, cause: Cause) -> None:
        """No balance spans a restart of the counters; one over aborts says so itself."""
        if cause is Cause.RESTART:
            self._served.clear()
            self._started.clear()
            self._drops.clear()

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended: one that did not complete, and had waited, left without a trace in the metrics."""
        record = ended.record
        waited = record.finish - record.arrival >= _TURNED_AWAY_SECONDS
        if not record.completed and ended.share == 1 and waited:
            self._abandoned["records"].add(record.finish)

    def observe_start(self, event: RequestStarted | RequestAborted, now: float) -> None:
        """Take a line of the server's log about a request that starts or is given up.

        ``now`` is the newest time known otherwise [unix s].
        """
        if isinstance(event, RequestStarted):
            self.starts.add(event.at, now)
        elif event.at <= now + _AHEAD_SECONDS:
            self._abandoned["aborts"].add(event.at)

    def get(self, now: float) -> dict[str, ArrivalRate]:
        """λ over each window, up to the newest sample."""
        return {window: self._over(seconds, now) for window, seconds in self._windows.items()}

    def _over(self, seconds: float, now: float) -> ArrivalRate:
        logged = self._logged(seconds, now)
        if logged is not None and logged.count is not None:
            return self._by_log(logged.count, seconds, now)
        spoiled = self._spoiled_by(seconds, now)
        if spoiled is not None:
            return ArrivalRate(Estimate(verdict=spoiled))
        balanced = self._served.rise(seconds)
        if balanced is None:
            return ArrivalRate(Estimate(verdict=Reason.WARMING_UP if self._served.seen else Reason.METRIC_MISSING))
        count, source, doubt = self._mended(balanced, seconds, now)
        verdict = doubt if logged is None or logged.verdict.valid else logged.verdict
        return ArrivalRate(self._rate(count, seconds, now, verdict), source)

    def _rate(self, count: float, seconds: float, now: float, verdict: Reason) -> Estimate:
        low, high = count_interval(count, self._dispersion(now))
        return Estimate(count / seconds, low / seconds, high / seconds, verdict)

    def _mended(self, balanced: float, seconds: float, now: float) -> tuple[float, str, Reason]:
        """The balance with the requests that left no trace in it: the count, its source, and the doubt about it."""
        dropped = self._dropped(seconds, now)
        lost = max(count.total(now - seconds, now) for count in self._abandoned.values())
        count, source, doubt = balanced + dropped, "balance", Reason.ABORT_BIASED if dropped else Reason.OK
        started = self._started.rise(seconds)
        # a preempted request waits again, and would be counted twice
        preempted = self._preempted is not None and now - self._preempted <= seconds
        if started is not None and not preempted and started - count > max(3.0, 3 * sqrt(max(count, 0.0))):
            count, source, doubt = started, "first_tokens", Reason.ABORT_BIASED
        if lost and balanced + lost >= count:
            count, source, doubt = balanced + lost, "abandoned", Reason.OK
        return max(count, 0.0), source, doubt

    def _logged(self, seconds: float, now: float) -> LoggedArrivals | None:
        """Arrivals by the log of starts, with the balance where it does not reach."""
        return self.starts.arrivals(now - seconds, now, self._balance) if self.starts.connected else None

    def _balance(self, start: float, end: float, partial: bool) -> float | None:
        return self._served.between(start, end, partial=partial)

    def _by_log(self, count: float, seconds: float, now: float) -> ArrivalRate:
        balanced = self._served.rise(seconds) if self._spoiled_by(seconds, now) is None else None
        residual = count / balanced - 1 if balanced is not None and balanced > 0 else None
        return ArrivalRate(self._rate(count, seconds, now, Reason.OK), "start_log", residual)

    def _dropped(self, seconds: float, now: float) -> float:
        """Requests that vanished without finishing in the last ``seconds``."""
        return sum(count for at, count in self._drops if now - at <= seconds)

    def _spoiled_by(self, seconds: float, now: float) -> Reason | None:
        """Why the last ``seconds`` cannot be balanced; a window that a restart emptied says so until it is full.

        A few requests that vanished are added back: they had arrived. Where they are many, those that arrived in
        the same instant and cannot be told from them are many too.
        """
        for reason, at in self._spoiled.items():
            if now - at <= seconds:
                return reason
        dropped = self._dropped(seconds, now)
        if dropped and dropped > _TOLERATED_RATIO * ((self._served.rise(seconds) or 0.0) + dropped):
            return Reason.ABORTS
        return None

    def _dispersion(self, now: float) -> float:
        """Index of dispersion of the arrivals over the longest sound window; 1 (Poisson) until one is full."""
        for seconds in sorted(self._windows.values(), reverse=True):
            counts = self._bins(seconds, now)
            if counts is not None:
                return max(1.0, index_of_dispersion(counts) or 1.0)
        return 1.0

    def trend(self, now: float) -> Trend | None:
        """Trend of λ over the longest window [requests/s²]; ``None`` unless that window is full and sound."""
        counts = self._bins(self._longest, now)
        if counts is None:
            return None
        width = self._longest / _BINS
        return theil_sen([width * i for i in range(_BINS)], [c / width for c in counts])

    def _bins(self, seconds: float, now: float) -> list[float] | None:
        """Arrivals in equal parts of the last ``seconds``, from the log of starts or else from the balance."""
        logged = self._logged(seconds, now)
        if logged is not None and logged.count is not None and self.starts.reaches(now - seconds):
            counts = self.starts.counts(now - seconds, now, _BINS)
            counts[-1] += max(logged.count - sum(counts), 0.0)  # what the log is yet to tell
            return counts
        return self._served.rises(seconds, _BINS) if self._spoiled_by(seconds, now) is None else None

    def dump(self) -> dict[str, object]:
        """What logs have told, as plain numbers; what the metrics tell begins anew after a restart."""
        return {"starts": self.starts.dump(), "abandoned": {k: v.dump() for k, v in self._abandoned.items()}}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        starts, abandoned = state["starts"], state["abandoned"]
        if not isinstance(starts, dict) or not isinstance(abandoned, dict):
            raise TypeError("starts and abandoned must be objects")
        self.starts.restore(starts)
        for source, count in self._abandoned.items():
            count.restore(abandoned[source])


def count_interval(count: float, dispersion: float) -> tuple[float, float]:
    """90% interval for the mean of a count with variance ``dispersion`` times its mean (Wilson's score form)."""
    middle = count + Z90**2 * dispersion / 2
    half = Z90 * sqrt(dispersion * count + (Z90 * dispersion) ** 2 / 4)
    return max(middle - half, 0.0), middle + half


def reference_window(rates: Mapping[str, ArrivalRate]) -> str | None:
    """The longest window over which λ is known: that of the margin, the time to saturation and the replicas."""
    known = [window for window, rate in rates.items() if rate.estimate.value is not None]
    return known[-1] if known else None


def arrival_rate(rates: Mapping[str, ArrivalRate]) -> KeyedEstimate:
    """λ by window [requests/s]; each window is an estimate of its own."""
    return KeyedEstimate.of({window: rate.estimate for window, rate in rates.items()})
