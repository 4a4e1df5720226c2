"""What the state of an engine follows from, as numbers of one moment."""

from __future__ import annotations

from dataclasses import dataclass

LOWEST_LIMIT_RATIO = 0.85
"""Least stable limit that a state goes by [1]. Choice: one large request must not bring the limit down to a load that
is served without a queue."""


def limit_to_go_by(stable_limit: float | None) -> float:
    """ρ at which an engine counts as full: the stable limit, but neither a single request's nor above 1 [ratio]."""
    return 1.0 if stable_limit is None else min(max(stable_limit, LOWEST_LIMIT_RATIO), 1.0)


@dataclass(frozen=True, slots=True)
class Load:
    """ρ with the ends of its 90% interval [1]."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Signs:
    """What a state follows from; ``None`` is unknown.

    Attributes:
        running: Requests that are being served.
        waiting: Requests that wait.
        load: ρ over the shortest window.
        sustained: ρ over the longest window that is full, where that is not the shortest.
        stable_limit: ρ up to which the queue is stable, 1 − δ [ratio].
        service_rate: μ [requests/s].
        arrival_rate: λ over the shortest window [requests/s].
        queue_slope_lower: Lower end of the 90% interval of the queue's trend [requests/s].
        stands: Whether requests wait that the engine should have served, or that nobody works on.
        loss_ratio: Share of the throughput that is lost to eviction now [ratio].
        seconds_to_limit: Until λ meets the limit on a trend that is no accident [s].
        scale_up_seconds: How long a new replica takes to serve [s].
        target_utilization: ρ that a replica is sized for [ratio].
        learning: Whether what is missing comes by itself with more traffic.
        hung: Whether nothing has moved for a minute with requests inside.
    """

    running: float | None = None
    waiting: float | None = None
    load: Load | None = None
    sustained: Load | None = None
    stable_limit: float | None = None
    service_rate: float | None = None
    arrival_rate: float | None = None
    queue_slope_lower: float | None = None
    stands: bool = False
    loss_ratio: float | None = None
    seconds_to_limit: float | None = None
    scale_up_seconds: float = 0.0
    target_utilization: float = 1.0
    learning: bool = False
    hung: bool = False

    @property
    def limit(self) -> float:
        """ρ at which the engine is full: the stable limit, but neither a single request's nor above 1 [ratio]."""
        return limit_to_go_by(self.stable_limit)

    @property
    def queue_seconds(self) -> float | None:
        """How long the engine takes to serve what waits, if nothing more came [s]."""
        if self.waiting is None or not self.service_rate:
            return None
        return self.waiting / self.service_rate
