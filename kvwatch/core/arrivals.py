"""λ: arrivals per second, balanced from what finished and what is inside, as vLLM counts no arrivals.

Flow balance: arrivals = Δfinished + Δ(running + waiting). It counts the queue, so it is right in overload too.
Requests that the client aborts leave no trace in it; those that had a first token do in a second balance,
Δfirst tokens + Δwaiting, which is used when it is larger beyond noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from kvwatch.core.interval import Interval
from kvwatch.facts import EngineSample
from kvwatch.stats.dispersion import index_of_dispersion
from kvwatch.stats.flow import WindowedCount
from kvwatch.stats.trend import Z90, Trend, theil_sen

_MASS_REQUESTS, _MASS_RATIO = 20.0, 0.3
"""So many requests, and such a share of those inside, vanishing at once leave other ones than there were."""
_TOLERATED_RATIO = 0.1
_BINS = 20
"""Parts of the longest window in which arrivals are counted for burstiness and trend."""


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """λ over one window [requests/s] with a 90% interval for the rate behind the count, and why it may be off."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    reason: str = "ok"


class Arrivals:
    """λ of one engine over several trailing windows."""

    def __init__(self, windows_seconds: Mapping[str, float]) -> None:
        self._windows = dict(windows_seconds)
        self._longest = max(self._windows.values())
        self._served = WindowedCount(self._longest)
        self._started = WindowedCount(self._longest)
        self._spoiled: dict[str, float] = {}
        self._drops: deque[tuple[float, float]] = deque(maxlen=256)
        self._preempted: float | None = None
        self._usual_rate: float | None = None

    def update(self, at: float, sample: EngineSample, interval: Interval | None, reset: bool) -> bool:
        """Take a sample, the interval it ends, and whether the counters were reset inside it.

        Returns whether a large share of the requests inside vanished in the interval.
        """
        if reset:
            self._served.clear()
            self._started.clear()
            self._spoiled = {"restart": at}
            self._drops.clear()
        if sample.asleep:
            self._spoiled["asleep"] = at
        if sample.running is None or sample.waiting is None:
            return False
        inside = sample.running + sample.waiting
        if sample.finished is not None:
            self._served.update(at, sample.finished + inside)
        if sample.first_token_count is not None:
            self._started.update(at, sample.first_token_count + sample.waiting)
        if interval is None:
            return False
        if interval.preemptions:
            self._preempted = at
        return self._look_for_aborts(at, interval)

    def _look_for_aborts(self, at: float, interval: Interval) -> bool:
        """Note a drop of running + waiting that finished requests do not explain; whether it took a large share.

        A scrape is no snapshot: a step that ends many requests can show in the gauges one scrape before it shows
        in the counters. The next interval then gives the drop back, and it is forgotten.
        """
        (run0, run1), (wait0, wait1) = interval.running, interval.waiting
        if interval.finished is None or run0 is None or run1 is None or wait0 is None or wait1 is None:
            return False
        flow = interval.finished + (run1 + wait1) - (run0 + wait0)
        noise = max(3.0, 3 * sqrt(interval.finished + 1))
        usual = (self._usual_rate or 0.0) * interval.seconds
        if self._drops and self._drops[-1][0] == interval.start and flow - usual >= self._drops[-1][1] / 2:
            self._drops.pop()
            return False
        if flow >= -noise:
            rate = flow / interval.seconds
            self._usual_rate = rate if self._usual_rate is None else 0.9 * self._usual_rate + 0.1 * rate
            return False
        # those that arrived meanwhile hide as many of those that vanished
        self._drops.append((at, usual - flow))
        return -flow >= max(_MASS_REQUESTS, _MASS_RATIO * (run0 + wait0))

    def get(self, window: str, now: float) -> ArrivalRate:
        """λ over the window of that name, up to the newest sample."""
        seconds = self._windows[window]
        spoiled = self._spoiled_by(seconds, now)
        if spoiled is not None:
            return ArrivalRate(None, reason=spoiled)
        count = self._served.rise(seconds)
        if count is None:
            return ArrivalRate(None, reason="warming_up" if self._served.seen else "metric_missing")
        dropped = self._dropped(seconds, now)
        count, reason = count + dropped, "abort_biased" if dropped else "ok"
        started = self._started.rise(seconds)
        # a preempted request waits again, and would be counted twice
        preempted = self._preempted is not None and now - self._preempted <= seconds
        if started is not None and not preempted and started - count > max(3.0, 3 * sqrt(max(count, 0.0))):
            count, reason = started, "abort_biased"
        count = max(count, 0.0)
        low, high = count_interval(count, self._dispersion(now))
        return ArrivalRate(count / seconds, low / seconds, high / seconds, reason)

    def _dropped(self, seconds: float, now: float) -> float:
        """Requests that vanished without finishing in the last ``seconds``."""
        return sum(count for at, count in self._drops if now - at <= seconds)

    def _spoiled_by(self, seconds: float, now: float) -> str | None:
        """Why the last ``seconds`` cannot be balanced; a window that a restart emptied says so until it is full.

        A few requests that vanished are added back: they had arrived. Where they are many, those that arrived in
        the same instant and cannot be told from them are many too.
        """
        for reason, at in self._spoiled.items():
            if now - at <= seconds:
                return reason
        dropped = self._dropped(seconds, now)
        if dropped and dropped > _TOLERATED_RATIO * ((self._served.rise(seconds) or 0.0) + dropped):
            return "aborts"
        return None

    def _dispersion(self, now: float) -> float:
        """Index of dispersion of the arrivals over the longest sound window; 1 (Poisson) until one is full."""
        for seconds in sorted(self._windows.values(), reverse=True):
            counts = self._served.rises(seconds, _BINS) if self._spoiled_by(seconds, now) is None else None
            if counts is not None:
                return max(1.0, index_of_dispersion(counts) or 1.0)
        return 1.0

    def trend(self, now: float) -> Trend | None:
        """Trend of λ over the longest window [requests/s²]; ``None`` unless that window is full and sound."""
        counts = self._served.rises(self._longest, _BINS) if self._spoiled_by(self._longest, now) is None else None
        if counts is None:
            return None
        width = self._longest / _BINS
        return theil_sen([width * i for i in range(_BINS)], [c / width for c in counts])


def count_interval(count: float, dispersion: float) -> tuple[float, float]:
    """90% interval for the mean of a count with variance ``dispersion`` times its mean (Wilson's score form)."""
    middle = count + Z90**2 * dispersion / 2
    half = Z90 * sqrt(dispersion * count + (Z90 * dispersion) ** 2 / 4)
    return max(middle - half, 0.0), middle + half
