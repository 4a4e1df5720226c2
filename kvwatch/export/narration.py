"""What happens to one engine, in sentences: views in, lines out.

A sentence is said when a view supports it beyond its own uncertainty: ρ has passed a level when the lower end of its
90% interval has. It is said once, and again only after the opposite has been as sure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvwatch.export.thresholds import Alert, AlertRule, Latch, usual_alerts
from kvwatch.export.words import LIMIT_WORDS, Load, clock, heaviest, rate, service_rate, span, spell
from kvwatch.views import EngineView

LEVELS = (0.5, 0.8)
_WARNINGS = ("approaching", "saturated", "overloaded")
_WIDEST_RATIO = 1.6
"""A first μ is told once the upper end of its interval is no more than this multiple of the lower."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence about one engine; ``at`` is seconds since the story began, ``kind`` says what it is about."""

    at: float
    name: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{clock(self.at):>5}  {self.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly the narrator makes up its mind.

    Attributes:
        hold_seconds: How long something must be so before it is said.
        horizon_seconds: A trend is carried no further into the future than this.
        alerts: The rules that kvwatch is compared with.
    """

    hold_seconds: float = 3.0
    horizon_seconds: float = 120.0
    alerts: tuple[AlertRule, ...] = field(default_factory=usual_alerts)


class Narrator:
    """Tells the story of one engine. Feed it views in the order of time."""

    def __init__(self, name: str, pace: Pace | None = None) -> None:
        self.name = name
        self.first: dict[str, Line] = {}
        """The first line of each kind."""
        self.estimated: EngineView | None = None
        """The view of the first estimate that was told."""
        self.predicted: EngineView | None = None
        """The newest view with an estimate in which nothing had waited for long enough to show the true rate."""
        self.highest_utilization: float | None = None
        self._pace = pace or Pace()
        self.alerts = [Alert(rule) for rule in self._pace.alerts]
        self._levels = {level: Latch(self._pace.hold_seconds) for level in LEVELS}
        self._latches: dict[str, Latch] = {}
        self._observed_sum, self._observed_count = 0.0, 0
        self._in_trouble = False

    @property
    def served(self) -> float | None:
        """Mean of the service rate observed while requests waited [requests/s]."""
        return self._observed_sum / self._observed_count if self._observed_count else None

    @property
    def warned_at(self) -> float | None:
        """When kvwatch first said that saturation comes or is there."""
        return min((self.first[kind].at for kind in _WARNINGS if kind in self.first), default=None)

    def observe(self, at: float, view: EngineView) -> list[Line]:
        """Take the view at ``at`` seconds; returns what there is to say about it, often nothing."""
        lines = [Line(at, self.name, kind, text) for kind, text in self._sentences(at, view)]
        for line in lines:
            self.first.setdefault(line.kind, line)
        return lines

    def _sentences(self, at: float, view: EngineView) -> Iterator[tuple[str, str]]:
        yield from self._estimate(view)
        yield from self._load(at, view)
        yield from self._queue(at, view)
        for alert in self.alerts:
            if alert.update(at, view):
                yield "alert", f"an alert on {alert.rule} fires now{_lead(self.warned_at, at)}"
        yield from self._recovery(at, view)

    def _estimate(self, view: EngineView) -> Iterator[tuple[str, str]]:
        """The first estimate, and the plain formula beside it."""
        mu, low, high = view.service_rate.value, view.service_rate.lower, view.service_rate.upper
        load = Load.of(view)
        if "estimate" in self.first or mu is None or load is None or low is None or high is None:
            return
        if high > _WIDEST_RATIO * low:
            return
        self.estimated = view
        limit = next((name for name, binds in view.binding_limit.items() if binds), None)
        limited = f", limited by {LIMIT_WORDS.get(limit, limit)}" if limit is not None else ""
        now = f"now {rate(load.arrival_rate)}/s, {load.value:.0%}"
        yield "estimate", f"sustains {rate(mu)} requests/s ({span(low, high)}) for this traffic{limited}; {now}"
        plain = view.service_rate_plain
        if plain is not None and plain > high:
            yield "plain", f"for contrast, M/(b·E[g]) with today's step time b would say {rate(plain)}/s"

    def _load(self, at: float, view: EngineView) -> Iterator[tuple[str, str]]:
        """Where ρ stands, and where it is going."""
        load = Load.of(view)
        mu, limit = view.service_rate.value, view.stable_limit.value
        if load is None or mu is None:
            return
        self.highest_utilization = max(load.value, self.highest_utilization or 0.0)
        for level, latch in self._levels.items():
            if latch.update(at, load.lower > level, load.upper < level):
                yield "level", f"utilization ρ is above {level:g} for sure: {load}, {rate(load.arrival_rate)}/s arrive"
        if limit is None:
            return
        seconds = view.time_to_saturation_seconds
        comes = seconds is not None and 0 < seconds <= self._pace.horizon_seconds and load.lower > LEVELS[0]
        if self._turns_on("approaching", at, comes, load.upper < LEVELS[0]) and seconds is not None:
            yield (
                "approaching",
                f"approaching: saturation in about {spell(seconds)} at this trend;"
                f" {rate(load.arrival_rate)}/s and rising, stable up to {rate(limit * mu)}/s{heaviest(view)}",
            )
        if self._turns_on("saturated", at, load.lower >= limit, load.upper < limit):
            yield "saturated", f"saturated: ρ {load} is past the stable limit 1−δ = {limit:.2f}"
        if self._turns_on("overloaded", at, load.lower > 1, load.upper < 1):
            growth = load.arrival_rate - mu
            yield (
                "overloaded",
                f"overloaded: {rate(load.arrival_rate)}/s arrive, {rate(mu)}/s can be served;"
                f" the queue will grow at about λ−μ = {rate(growth)}/s{heaviest(view)}",
            )

    def _queue(self, at: float, view: EngineView) -> Iterator[tuple[str, str]]:
        """Who waits, whether more and more do, and what the engine really serves meanwhile."""
        waiting, slope, served = view.queue_length, view.queue_slope.lower, view.observed_service_rate
        if waiting and "waiting" not in self.first:
            usage = f", {view.kv_usage_ratio:.0%} of the KV cache used" if view.kv_usage_ratio is not None else ""
            yield "waiting", f"the first request waits{usage}"
        upper = view.queue_slope.upper
        load = Load.of(view)
        # the trend looks back over minutes: after a fall of the load it still rises while the queue drains
        grows = bool(waiting) and slope is not None and slope > 0 and not (load is not None and load.upper < 1)
        if self._turns_on("growing", at, grows, not waiting) and slope is not None and upper is not None:
            yield "growing", f"the queue is growing, by {span(slope, upper)} requests/s; {waiting:.0f} wait"
        if served is None:
            if view.service_rate.value is not None and not waiting and self._observed_count == 0:
                self.predicted = view
            return
        self._observed_sum, self._observed_count = self._observed_sum + served, self._observed_count + 1
        if self._turns_on("observed", at, True, False):
            yield (
                "observed",
                f"with requests waiting, what completes is the truth: {rate(served)}/s; {self._against(served)}",
            )

    def _recovery(self, at: float, view: EngineView) -> Iterator[tuple[str, str]]:
        """Trouble is over when ρ is below the limit for sure and nobody waits."""
        load, limit, mu = Load.of(view), view.stable_limit.value, view.service_rate.value
        if load is None or limit is None or mu is None:
            return
        trouble = any(self._latches[kind].on for kind in ("saturated", "overloaded") if kind in self._latches)
        self._in_trouble = self._in_trouble or trouble
        below = self._in_trouble and load.upper < limit
        if self._turns_on("draining", at, below and bool(view.queue_length), not below):
            yield (
                "draining",
                f"utilization ρ is below the limit again: {load}; the {view.queue_length:.0f} that wait are served"
                f" at about μ−λ = {rate(mu - load.arrival_rate)}/s",
            )
        if self._turns_on("recovered", at, below and not view.queue_length, not below):
            self._in_trouble = False
            yield "recovered", f"recovered: ρ {load}, nobody waits"

    def _turns_on(self, kind: str, at: float, rises: bool, falls: bool) -> bool:
        latch = self._latches.setdefault(kind, Latch(self._pace.hold_seconds))
        return latch.update(at, rises, falls)

    def _against(self, served: float) -> str:
        """The prediction that was made before anything waited, beside what was served."""
        if self.predicted is None or self.predicted.service_rate.value is None:
            return "nothing had been predicted before"
        mu = self.predicted.service_rate.value
        return f"predicted before the queue: {service_rate(self.predicted)}, {abs(mu / served - 1):.0%} off"

    def summary(self) -> list[str]:
        """What came of it, in a few sentences."""
        if self.estimated is None:
            return ["too short for an estimate"]
        load, plain = Load.of(self.estimated), self.estimated.service_rate_plain
        at_load = f" at {load.value:.0%} load" if load is not None else ""
        beside = f"; the plain formula said {rate(plain)}/s" if plain is not None else ""
        first = f"first estimate, {clock(self.first['estimate'].at)}{at_load}: {service_rate(self.estimated)}{beside}"
        lines = [first]
        warned, queued = self.warned_at, self.first.get("waiting")
        peak = f"{self.highest_utilization:.2f}" if self.highest_utilization is not None else "unknown"
        if warned is None:
            lines.append(f"kvwatch: no saturation ahead; ρ at most {peak}")
        else:
            said = [
                f"{kind} at {clock(self.first[kind].at)}" for kind in (*_WARNINGS, "recovered") if kind in self.first
            ]
            lines.append(f"kvwatch: {', '.join(said)}; ρ at most {peak}")
        if queued is None:
            lines.append("no request waited")
        else:
            lines.append(f"the first request waited at {clock(queued.at)}{_lead(warned, queued.at)}")
        fired = [(alert.rule, alert.fired_at) for alert in self.alerts if alert.fired_at is not None]
        lines += [f"an alert on {rule} fired at {clock(at)}{_lead(warned, at)}" for rule, at in fired]
        silent = [str(alert.rule) for alert in self.alerts if alert.fired_at is None]
        if silent:
            lines.append(f"in this run no alert on {' or '.join(silent)}")
        if self.served is not None:
            lines.append(f"really served while requests waited: {rate(self.served)}/s; {self._against(self.served)}")
        return lines


def _lead(warned: float | None, at: float) -> str:
    if warned is None:
        return ""
    return f", {spell(at - warned)} after kvwatch's first warning" if at >= warned else ", before kvwatch warned"
