"""What the engines of a pool that are in sight come to: sums that Prometheus finds as well, from the same series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.missing import EngineName
from kvwatch.core.pool.need import Replica
from kvwatch.estimate import Reason
from kvwatch.stats.normal import Z90
from kvwatch.views import EngineView

INTERVAL_DEVIATIONS = round(2 * Z90, 2)
"""Width of a two-sided 90% interval [sd]. Definition: twice the 95th percentile of the normal law, to the two decimals
that the recording rules show, which must agree."""


@dataclass(frozen=True, slots=True)
class Members:
    """The engines in sight of one pool, and which of all targets answer."""

    engines: Sequence[EngineView]
    targets: Mapping[str, bool]
    options: CoreOptions

    @property
    def rates(self) -> Mapping[EngineName, float | None]:
        """λ of each engine over the shortest window [requests/s]."""
        window = next(iter(self.options.windows_seconds))
        return {(e.target, e.engine): e.arrival_rate.value.get(window) for e in self.engines}

    @property
    def rate_variance(self) -> float:
        """Square of the standard error of their sum [requests²/s²]."""
        return self._variance(next(iter(self.options.windows_seconds)))

    @property
    def count_variance(self) -> float:
        """Variance of the arrivals in a second, as the longest window shows it [requests²/s]."""
        window, seconds = list(self.options.windows_seconds.items())[-1]
        return self._variance(window) * seconds

    def _variance(self, window: str) -> float:
        rates = [e.arrival_rate for e in self.engines]
        widths = [
            rate.upper[window] - rate.lower[window] for rate in rates if window in rate.lower and window in rate.upper
        ]
        return sum((width / INTERVAL_DEVIATIONS) ** 2 for width in widths)

    @property
    def sure(self) -> Sequence[EngineView]:
        """Those whose λ and ρ may size a fleet."""
        window = next(iter(self.options.windows_seconds))
        return [
            e for e in self.engines if _sizes(e.utilization.verdict) and _sizes(e.arrival_rate.verdicts.get(window))
        ]

    @property
    def replica(self) -> Replica | None:
        """A replica like the mean one, with as many engines as a server has; ``None`` where no μ may be believed."""
        rates = [e.service_rate.value for e in self.sure if e.service_rate.value]
        if not rates:
            return None
        engines_each = len(self.engines) / len({e.target for e in self.engines})
        rate = sum(rates) / len(rates) * engines_each
        return Replica(rate, self._target_utilization, self.options.scale_up_seconds)

    @property
    def _target_utilization(self) -> float:
        """The load that a replica is sized for: as the engines export it, which a latency target may have lowered."""
        targets = [e.target_utilization for e in self.engines if e.target_utilization is not None]
        return sum(targets) / len(targets) if targets else self.options.target_utilization

    @property
    def waiting(self) -> float:
        """Requests that wait."""
        return sum(e.queue_length or 0.0 for e in self.engines)

    @property
    def inside(self) -> float:
        """Requests that wait or run."""
        return self.waiting + sum(e.running_requests or 0.0 for e in self.engines)


def _sizes(verdict: Reason | None) -> bool:
    return verdict is not None and verdict.sizes
