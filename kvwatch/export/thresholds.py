"""Conditions over time: one that must hold for a while to count, and an alert as Prometheus evaluates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvwatch.views import EngineView


class Latch:
    """Turns on, and says so once, when its condition has held; off only when the opposite has held.

    Between the two, as while an interval straddles a level, it stays as it is. ``hold_seconds`` is how long either
    must hold without a break.
    """

    def __init__(self, hold_seconds: float) -> None:
        self._hold = hold_seconds
        self._since: float | None = None
        self.on = False

    def update(self, at: float, rises: bool, falls: bool) -> bool:
        """Take both conditions at a time; true where the latch has just turned on."""
        if not (falls if self.on else rises):
            self._since = None
            return False
        if self._since is None:
            self._since = at
        if at - self._since < self._hold:
            return False
        self.on, self._since = not self.on, None
        return self.on


@dataclass(frozen=True, slots=True)
class AlertRule:
    """``expr > above for …``: what many operators alert on today.

    Attributes:
        metric: Name of vLLM's metric, without prefix.
        read: Its value in a view; None where unknown.
        above: Threshold.
        for_seconds: How long the value must stay above it before the alert fires.
    """

    metric: str
    read: Callable[[EngineView], float | None]
    above: float
    for_seconds: float

    def __str__(self) -> str:
        whole_minutes = self.for_seconds >= 60 and self.for_seconds % 60 == 0
        lasting = f"{self.for_seconds / 60:.0f}m" if whole_minutes else f"{self.for_seconds:g}s"
        return f"{self.metric} > {self.above:g} for {lasting}"


class Alert:
    """One rule over one engine; ``fired_at`` is when it first fired."""

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.fired_at: float | None = None
        self._since: float | None = None

    def update(self, at: float, view: EngineView) -> bool:
        """Take a view at a time; true where the alert fires for the first time."""
        value = self.rule.read(view)
        if value is None or value <= self.rule.above:
            self._since = None
            return False
        if self._since is None:
            self._since = at
        if self.fired_at is not None or at - self._since < self.rule.for_seconds:
            return False
        self.fired_at = at
        return True


def usual_alerts(speed: float = 1.0) -> tuple[AlertRule, ...]:
    """The alerts on queue and memory that operators set; on hardware ``speed`` times faster they wait as much less."""
    return (
        AlertRule("num_requests_waiting", lambda view: view.queue_length, 10, 60 / speed),
        AlertRule("num_requests_waiting", lambda view: view.queue_length, 0, 300 / speed),
        AlertRule("kv_cache_usage_perc", lambda view: view.kv_usage_ratio, 0.9, 300 / speed),
    )
