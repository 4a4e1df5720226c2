"""One pool from evaluation to evaluation: what it remembers, and the number that follows."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from kvwatch.core.pool.arrivals import PoolArrivals
from kvwatch.core.pool.evaluation import Times
from kvwatch.core.pool.members import Members
from kvwatch.core.pool.missing import Memory
from kvwatch.core.pool.need import SURGE_DEVIATIONS, Flow, Need, need
from kvwatch.core.pool.replicas_required import MAJORITY_RATIO, Sizing, added


class Pool:
    """The engines of one model and one role."""

    def __init__(self, times: Times) -> None:
        self.sizing = Sizing(times)
        self.number: float | None = None
        """Replicas required."""
        self.added: Mapping[str, float] = {}
        """What made it higher than ⌈λ/(μ·target)⌉, by reason [replicas]."""
        self.need: Need | None = None
        self.arrival_rate: float | None = None
        """λ as a mean over five minutes [requests/s]."""
        self._times = times
        self._arrivals = PoolArrivals(times)
        self._memory = Memory(times)

    def evaluate(self, now: float, members: Members, *, waits_for: bool) -> None:
        """Take what the engines say at ``now``; ``waits_for``: whether a target may have engines and was never read."""
        rates = members.rates
        known = [rate for rate in rates.values() if rate is not None]
        missing = self._memory.update(now, rates, members.targets)
        if known:
            self._arrivals.update(now, sum(known), len(known))
        self.arrival_rate = self._arrivals.mean(now)
        self.need = None
        if self.arrival_rate is not None and known:
            flow = Flow(
                self.arrival_rate,
                sum(known) - SURGE_DEVIATIONS * sqrt(members.rate_variance),
                self._arrivals.trend(now, members.count_variance),
                self._times.mean_age,
            )
            self.need = need(
                flow,
                members.replica,
                waiting=members.waiting,
                inside=members.inside,
                missing_rate=missing.rate,
            )
        sure = len(members.sure) >= MAJORITY_RATIO * (len(rates) + missing.gone)
        self.number = self.sizing.update(now, self.need, valid=sure and not waits_for)
        self.added = added(self.number, self.need, valid=sure) if self.number is not None else {}
