"""The HorizontalPodAutoscaler as it is documented: how many replicas a metric wants, and how fast it gets them.

Source: Kubernetes' documentation, "Horizontal Pod Autoscaling", algorithm details and configurable scaling behavior;
where that is silent (which pods count, order of the steps), pkg/controller/podautoscaler of Kubernetes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor

TOLERANCE = 0.1
SYNC_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class PodStatus:
    """What the controller sees of a pod: ``pending`` is the phase before its containers run."""

    name: str
    pending: bool = False
    ready: bool = True
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most ``value`` pods, or per cent, in ``seconds``."""

    kind: str
    value: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction: how long to look back for a more cautious wish, and how fast to go (the laxest policy counts)."""

    stabilization_seconds: float
    policies: tuple[RatePolicy, ...]


@dataclass(frozen=True, slots=True)
class Behavior:
    """Both directions; the defaults are the documented ones."""

    up: Rules = Rules(0.0, (RatePolicy("pods", 4, 15.0), RatePolicy("percent", 100, 15.0)))
    down: Rules = Rules(300.0, (RatePolicy("percent", 100, 15.0),))


def pods_metric(
    pods: Iterable[PodStatus], values: Mapping[str, float], target: float, current: int, tolerance: float = TOLERANCE
) -> int | None:
    """Replicas wanted by a Pods metric with an average value; ``None`` if no pod has a value.

    Pods being deleted do not count. A pending pod counts as 0 when the rest want more, and not at all otherwise. A pod
    without a value counts as 0 when the rest want more, and as just at its target when they want fewer. If that turns
    the direction round, or brings the ratio within the tolerance, nothing is to change.

    Readiness itself matters only to CPU metrics: a pod that is not ready but has a value counts.
    """
    known: dict[str, float] = {}
    pending, missing = [], []
    for pod in pods:
        if pod.deleting:
            continue
        if pod.pending:
            pending.append(pod.name)
        elif pod.name in values:
            known[pod.name] = values[pod.name]
        else:
            missing.append(pod.name)
    if not known:
        return None
    ratio = sum(known.values()) / len(known) / target
    with_pending = bool(pending) and ratio > 1
    if not with_pending and not missing:
        return current if abs(1 - ratio) <= tolerance else ceil(ratio * len(known))
    known |= dict.fromkeys(missing, target if ratio < 1 else 0.0)
    if with_pending:
        known |= dict.fromkeys(pending, 0.0)
    again = sum(known.values()) / len(known) / target
    if abs(1 - again) <= tolerance or (ratio < 1 < again) or (again < 1 < ratio):
        return current
    wanted = ceil(again * len(known))
    if (again < 1 and wanted > current) or (again > 1 and wanted < current):
        return current
    return wanted


def external_average(value: float | None, target: float, replicas: int, tolerance: float = TOLERANCE) -> int | None:
    """Replicas wanted by an External metric with an average value; ``replicas`` are those that exist, ready or not."""
    if value is None:
        return None
    if replicas and abs(1 - value / (target * replicas)) <= tolerance:
        return replicas
    return ceil(value / target)


def external_value(
    value: float | None, target: float, current: int, ready: int, tolerance: float = TOLERANCE
) -> int | None:
    """Replicas wanted by an External metric with a value: the ratio times the *ready* pods."""
    if value is None:
        return None
    ratio = value / target
    if current == 0:
        return ceil(ratio)
    return current if abs(1 - ratio) <= tolerance else ceil(ratio * ready)


@dataclass(slots=True)
class Hpa:
    """One HorizontalPodAutoscaler: limits, behavior, and what it remembers of the last minutes."""

    minimum: int = 1
    maximum: int = 10
    behavior: Behavior = field(default_factory=Behavior)
    _wishes: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, current: int, wanted: Sequence[int | None]) -> int:
        """The number of replicas to set at ``now`` [s], given what each metric wants (``None``: it failed).

        With no metric, nothing changes; with some, nothing shrinks. At 0 replicas the autoscaler is off.
        """
        if current == 0:
            return 0
        if not self.minimum <= current <= self.maximum:
            return self._set(now, current, min(max(current, self.minimum), self.maximum))
        known = [w for w in wanted if w is not None]
        if not known or (len(known) < len(wanted) and max(known) < current):
            return current
        return self._set(now, current, self._limited(now, current, self._stabilized(now, current, max(known))))

    def _stabilized(self, now: float, current: int, wish: int) -> int:
        """The wish, moved no further than every wish of the look-back agrees with."""
        up, down = self.behavior.up.stabilization_seconds, self.behavior.down.stabilization_seconds
        if not self._wishes:
            self._wishes.append((now, current))  # a controller that starts believes in what it finds
        least = min([wish, *(w for at, w in self._wishes if at > now - up)])
        most = max([wish, *(w for at, w in self._wishes if at > now - down)])
        self._wishes = [(at, w) for at, w in self._wishes if at > now - max(up, down)]
        self._wishes.append((now, wish))
        return min(max(current, least), most)

    def _limited(self, now: float, current: int, wish: int) -> int:
        """The wish within the rate limits, the minimum and the maximum."""
        if wish > current:
            most = max(self._reach(now, current, p, 1) for p in self.behavior.up.policies)
            return min(wish, max(most, current), self.maximum)
        least = min(self._reach(now, current, p, -1) for p in self.behavior.down.policies)
        return max(wish, min(least, current), self.minimum)

    def _reach(self, now: float, current: int, policy: RatePolicy, sign: int) -> int:
        start = current - sum(change for at, change in self._changes if at > now - policy.seconds)
        if policy.kind == "pods":
            return round(start + sign * policy.value)
        return ceil(start * (1 + policy.value / 100)) if sign > 0 else floor(start * (1 - policy.value / 100))

    def _set(self, now: float, current: int, replicas: int) -> int:
        if replicas != current:
            self._changes.append((now, replicas - current))
        longest = max(p.seconds for p in (*self.behavior.up.policies, *self.behavior.down.policies))
        self._changes = [(at, change) for at, change in self._changes if at > now - longest]
        return replicas
