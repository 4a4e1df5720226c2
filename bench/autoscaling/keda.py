"""KEDA's ScaledObject: an HPA on an external metric between 1 and the maximum, and KEDA's own operator below 1.

Source: KEDA's documentation, "ScaledObject specification", "Scaling Deployments", the Prometheus scaler; what its
operator does about a failing trigger is from pkg/scaling/executor. The HPA asks KEDA at each of its syncs;
``pollingInterval`` is how often the operator looks whether to go to 0 or come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.autoscaling.hpa import Behavior, Hpa, external_average


@dataclass(frozen=True, slots=True)
class Fallback:
    """What holds after more than ``failures`` failed looks: ``static`` replicas, or ``currentReplicasIfHigher``.

    Whether it also wakes a workload that is at 0 has changed with KEDA's versions; ``wakes`` says so.
    """

    replicas: int
    failures: int = 3
    behavior: str = "static"
    wakes: bool = False

    def of(self, current: int) -> int:
        """The number of replicas."""
        return max(current, self.replicas) if self.behavior == "currentReplicasIfHigher" else self.replicas


@dataclass(slots=True)
class Keda:
    """One ScaledObject with one trigger of metric type AverageValue.

    ``null_is_zero`` is the Prometheus scaler's ``ignoreNullValues``, on by default: a query without result is 0.
    """

    threshold: float
    minimum: int = 0
    maximum: int = 100
    activation: float = 0.0
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    null_is_zero: bool = True
    fallback: Fallback | None = None
    behavior: Behavior = field(default_factory=Behavior)
    _hpa: Hpa | None = None
    _failures: int = 0
    _active_at: float | None = None
    _polled_at: float = float("-inf")

    def sync(self, now: float, current: int, value: float | None) -> int:
        """The number of replicas to set at the HPA's sync at ``now`` [s]; ``value`` is what the query gives."""
        if self._hpa is None:
            self._hpa = Hpa(max(self.minimum, 1), self.maximum, self.behavior)
        if value is None and self.null_is_zero:
            value = 0.0
        self._failures = self._failures + 1 if value is None else 0
        if now - self._polled_at >= self.polling_seconds:
            self._polled_at = now
            current = self._operate(now, current, value)
        return self._hpa.sync(now, current, self._wanted(current, value))

    def _wanted(self, current: int, value: float | None) -> Sequence[int | None]:
        if value is None and self._falls_back and self.fallback is not None:
            return [external_average(self.fallback.of(current) * self.threshold, self.threshold, current)]
        return [external_average(value, self.threshold, current)]

    @property
    def _falls_back(self) -> bool:
        return self.fallback is not None and self._failures > self.fallback.failures

    def _operate(self, now: float, current: int, value: float | None) -> int:
        """What KEDA's operator does: wake from 0, and send to 0 after the cooldown.

        A trigger that fails is not active: without a fallback it therefore ends at 0, if that is allowed.
        """
        fallback = self.fallback
        if value is None and fallback is not None:
            return fallback.of(current) if current or fallback.wakes else 0
        if value is not None and value > self.activation:
            self._active_at = now
            return max(current, self.minimum, 1)
        if self._active_at is None:
            self._active_at = now
        if self.minimum == 0 and now - self._active_at >= self.cooldown_seconds:
            return 0
        return max(current, self.minimum)
