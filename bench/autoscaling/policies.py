"""What is scaled by what: kvwatch's two metrics, and what vLLM is scaled by today, each with its targets to sweep."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.autoscaling.hpa import Behavior, Hpa, PodStatus, Rules, external_average, pods_metric
from bench.autoscaling.keda import Fallback, Keda

MINIMUM, MAXIMUM = 1, 9


@dataclass(frozen=True, slots=True)
class Seen:
    """What a metrics adapter answers: by pod name, and for the model. What is missing is missing.

    Attributes:
        waiting: ``vllm:num_requests_waiting`` by pod.
        kv_usage: ``vllm:kv_cache_usage_perc`` by pod.
        utilization: ``kvwatch_utilization{window="1m"}`` by pod.
        utilization_5m: The same with ``window="5m"``, or over a minute where a pod is younger than that.
        required: ``kvwatch_replicas_required`` of the model.
    """

    waiting: dict[str, float] = field(default_factory=dict)
    kv_usage: dict[str, float] = field(default_factory=dict)
    utilization: dict[str, float] = field(default_factory=dict)
    utilization_5m: dict[str, float] = field(default_factory=dict)
    required: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One configuration of an autoscaler.

    Attributes:
        signal: ``waiting``, ``kv_usage``, ``utilization`` or ``utilization 5m`` as a Pods metric, ``required`` as an
            External one, ``keda waiting`` or ``keda required`` through KEDA.
        target: The HPA's average value, or KEDA's threshold. For ``required`` it is kvwatch's own target ρ, and the
            average value is 1.
        down_seconds: Stabilisation window for going down: by default Kubernetes' own five minutes, and the chart's one
            minute for ``required``, which goes down late by itself.
        minimum: Replicas at least.
    """

    signal: str
    target: float
    down_seconds: float | None = None
    minimum: int = MINIMUM

    @property
    def stabilization_seconds(self) -> float:
        """The window for going down."""
        if self.down_seconds is not None:
            return self.down_seconds
        return 60.0 if self.signal.endswith("required") else 300.0

    @property
    def name(self) -> str:
        """For tables."""
        extra = "" if self.down_seconds is None else f", down after {self.down_seconds / 60:.0f} min"
        return f"{TITLES[self.signal]} {self.target:g}{extra}"

    @property
    def watched(self) -> bool:
        """Whether it needs kvwatch."""
        return self.signal.startswith("utilization") or self.signal.endswith("required")

    @property
    def target_utilization(self) -> float:
        """What kvwatch is told to size for."""
        return self.target if self.signal.endswith("required") else 0.8


TITLES = {
    "utilization": "HPA, kvwatch_utilization over 1m",
    "utilization 5m": "HPA, kvwatch_utilization over 5m",
    "required": "HPA, kvwatch_replicas_required at ρ",
    "keda required": "KEDA, kvwatch_replicas_required at ρ",
    "waiting": "HPA, requests waiting",
    "kv_usage": "HPA, KV cache usage",
    "keda waiting": "KEDA, requests waiting",
}
USUAL = {
    "utilization": 0.8, "utilization 5m": 0.8,
    "required": 0.8, "keda required": 0.8, "waiting": 10.0, "kv_usage": 0.8, "keda waiting": 5.0,
}  # fmt: skip
"""What each is usually set to: kvwatch's defaults, and what guides for vLLM say."""
SWEEPS: dict[str, tuple[float, ...]] = {
    "utilization": (0.6, 0.7, 0.8),
    "utilization 5m": (0.6, 0.7, 0.8),
    "required": (0.6, 0.7, 0.8),
    "keda required": (0.8,),
    "waiting": (2.0, 5.0, 10.0, 40.0),
    "kv_usage": (0.3, 0.4, 0.55, 0.8),
    "keda waiting": (5.0,),
}
EXTRA = (Policy("required", 0.8, down_seconds=300.0),)
"""With Kubernetes' own window on top of the number's own."""
OWN = ("utilization", "utilization 5m", "required")
RIVALS = ("waiting", "kv_usage")


def sweep() -> list[Policy]:
    """All policies to run; the usual ones first."""
    usual = [Policy(s, USUAL[s]) for s in SWEEPS]
    rest = [Policy(s, t) for s in SWEEPS for t in SWEEPS[s] if t != USUAL[s]]
    return [*usual, *rest, *EXTRA]


class Autoscaler:
    """A policy at work."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        behavior = Behavior(down=Rules(policy.stabilization_seconds, Behavior().down.policies))
        self._hpa = Hpa(max(policy.minimum, 1), MAXIMUM, behavior)
        null_is_zero = policy.signal == "keda waiting"
        self._keda = Keda(
            1.0 if policy.signal == "keda required" else policy.target,
            minimum=policy.minimum,
            maximum=MAXIMUM,
            null_is_zero=null_is_zero,
            fallback=None if null_is_zero else Fallback(1, behavior="currentReplicasIfHigher"),
            behavior=behavior,
        )

    def sync(self, now: float, current: int, pods: list[PodStatus], seen: Seen) -> int:
        """The number of replicas to set."""
        policy = self._policy
        if policy.signal == "keda waiting":
            return self._keda.sync(now, current, sum(seen.waiting.values()) if seen.waiting else None)
        if policy.signal == "keda required":
            return self._keda.sync(now, current, seen.required)
        if policy.signal == "required":
            alive = sum(not p.deleting for p in pods)
            return self._hpa.sync(now, current, [external_average(seen.required, 1.0, alive)])
        values = {
            "waiting": seen.waiting,
            "kv_usage": seen.kv_usage,
            "utilization": seen.utilization,
            "utilization 5m": seen.utilization_5m,
        }[policy.signal]
        return self._hpa.sync(now, current, [pods_metric(pods, values, policy.target, current)])
