"""λ: arrivals per second, by the balance of the metrics or by logs.

The balance misses requests that give up while they wait. Logs mend that. The server's own log of starts is λ itself
where it is connected and alive. Requests that a log shows to have ended without completing are added to the balance,
which they have left without a trace. One of these mends is used, the one that finds most; never two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from kvwatch.constants import CLOCK_SKEW_SECONDS
from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.flow_balance import FlowBalance
from kvwatch.core.traffic.start_log import LOG_LAG_SECONDS, LoggedArrivals, StartLog
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.facts import RequestAborted, RequestStarted
from kvwatch.stats.binned_count import BinnedCount
from kvwatch.stats.dispersion import index_of_dispersion
from kvwatch.stats.normal import Z90
from kvwatch.stats.trend import Trend, is_step, theil_sen

_TURNED_AWAY_SECONDS = 1.0
"""Time before which a request that failed was refused, by a gateway or for its content, and never waited for the engine
[s]. Choice: a refusal takes milliseconds, and nobody loses patience within a second."""
_BINS = 20
"""Parts of the longest window in which arrivals are counted for burstiness and trend [bins]. Choice: 15 s each of five
minutes, with several arrivals at the rates of interest; half leaves the trend ten points, double mostly empty bins."""


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

    def __init__(self, windows_seconds: Mapping[str, float], patience_seconds: float = LOG_LAG_SECONDS) -> None:
        self._windows = dict(windows_seconds)
        self._longest = max(self._windows.values())
        self._balance = FlowBalance(self._longest)
        self._starts = StartLog(self._longest, patience_seconds)
        self._abandoned = {source: BinnedCount(self._longest) for source in ("records", "aborts")}

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        self._balance.update(interval)
        self._starts.forget_if_silent(interval.end)

    def begin_anew(self, cause: Cause) -> None:
        """No balance spans a restart of the counters; what logs show goes on."""
        self._balance.begin_anew(cause)

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
            self._starts.add(event.at, now)
        elif event.at <= now + CLOCK_SKEW_SECONDS:
            self._abandoned["aborts"].add(event.at)

    def get(self, now: float) -> dict[str, ArrivalRate]:
        """λ over each window, up to the newest sample."""
        dispersion = self.dispersion(now)
        return {window: self._over(seconds, now, dispersion) for window, seconds in self._windows.items()}

    def _over(self, seconds: float, now: float, dispersion: float) -> ArrivalRate:
        logged = self._logged(seconds, now)
        if logged is not None and logged.count is not None:
            return self._by_log(logged.count, seconds, now, dispersion)
        spoiled = self._balance.spoiled_by(seconds, now)
        if spoiled is not None:
            return ArrivalRate(Estimate(verdict=spoiled))
        balanced = self._balance.rise(seconds)
        if balanced is None:
            return ArrivalRate(Estimate(verdict=Reason.WARMING_UP if self._balance.seen else Reason.METRIC_MISSING))
        lost = max(count.total(now - seconds, now) for count in self._abandoned.values())
        found = self._balance.mended(balanced, lost, seconds, now)
        verdict = found.doubt if logged is None or logged.verdict.valid else logged.verdict
        return ArrivalRate(_rate(found.count, seconds, dispersion, verdict), found.source)

    def _logged(self, seconds: float, now: float) -> LoggedArrivals | None:
        """Arrivals by the log of starts, with the balance where it does not reach."""
        return self._starts.arrivals(now - seconds, now, self._balance.between) if self._starts.connected else None

    def _by_log(self, count: float, seconds: float, now: float, dispersion: float) -> ArrivalRate:
        balanced = self._balance.rise(seconds) if self._balance.spoiled_by(seconds, now) is None else None
        residual = count / balanced - 1 if balanced is not None and balanced > 0 else None
        return ArrivalRate(_rate(count, seconds, dispersion, Reason.OK), "start_log", residual)

    def dispersion(self, now: float) -> float:
        """Index of dispersion of the arrivals over the longest sound window; 1 (Poisson) until one is full."""
        for seconds in sorted(self._windows.values(), reverse=True):
            counts = self._bins(seconds, now)
            found = index_of_dispersion(counts) if counts is not None else None
            if found is not None:
                return max(1.0, found)
        return 1.0

    def trend(self, now: float) -> Trend | None:
        """Trend of λ over the longest window [requests/s²]; ``None`` unless that window is full and sound.

        Where a step of the load explains the window better than a line, nothing says that λ goes on rising or falling:
        the interval then holds 0.
        """
        counts = self._bins(self._longest, now)
        if counts is None:
            return None
        width = self._longest / _BINS
        times, rates = [width * i for i in range(_BINS)], [c / width for c in counts]
        trend = theil_sen(times, rates)
        if trend is None or not is_step(times, rates):
            return trend
        return Trend(trend.slope, min(trend.lower, 0.0), max(trend.upper, 0.0), significant=False)

    def _bins(self, seconds: float, now: float) -> list[float] | None:
        """Arrivals in equal parts of the last ``seconds``, from the log of starts or else from the balance."""
        logged = self._logged(seconds, now)
        if logged is not None and logged.count is not None and self._starts.reaches(now - seconds):
            counts = self._starts.counts(now - seconds, now, _BINS)
            counts[-1] += max(logged.count - sum(counts), 0.0)  # what the log has yet to show
            return counts
        return self._balance.rises(seconds, _BINS) if self._balance.spoiled_by(seconds, now) is None else None

    def dump(self) -> dict[str, object]:
        """What logs have shown, as plain numbers; what the metrics show begins again after a restart."""
        return {"starts": self._starts.dump(), "abandoned": {k: v.dump() for k, v in self._abandoned.items()}}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        starts, abandoned = state["starts"], state["abandoned"]
        if not isinstance(starts, dict) or not isinstance(abandoned, dict):
            raise TypeError("starts and abandoned must be objects")
        self._starts.restore(starts)
        for source, count in self._abandoned.items():
            count.restore(abandoned[source])


def _rate(count: float, seconds: float, dispersion: float, verdict: Reason) -> Estimate:
    low, high = count_interval(count, dispersion)
    return Estimate(count / seconds, low / seconds, high / seconds, verdict)


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
