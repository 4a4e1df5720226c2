"""What a model's engines come to together: λ, μ, ρ, the hottest one, and how many replicas the traffic needs.

Each engine is a queue of its own, data-parallel ones too; tensor and pipeline parallelism are inside of one engine. A
pool is the engines of one model and one role. λ and μ add over it. Where prefill and decode are apart, each pool has
its own μ, and the model is as fast as the slower pool.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot, isfinite

from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.arrivals import PoolArrivals, Serving
from kvwatch.core.pool.replicas_required import Need, Sizing
from kvwatch.core.pool.roles import with_roles
from kvwatch.estimate import Reason
from kvwatch.stats.normal import Z90
from kvwatch.views import EngineView, ModelView, TargetView

PoolKey = tuple[str, str]
"""(model_name, role); the role is empty where none is configured."""
_SURE_DEVIATIONS = 3.0
"""Standard deviations above 0 from which on a rising λ is followed [sd]. Choice: one false rise in a thousand; at half
of it, one in fifteen."""
MOST_GROWTH = 2.0
"""Largest λ planned for, over λ now [1]. Choice: a trend that doubles the load before a replica serves is either over
by then or asks for the next step anyway."""
_LEAST_NEED = 0.01
"""Replicas needed for requests that are inside while none arrives [replicas]. Choice: anything above 0 and below 1, so
that one stays."""
INTERVAL_DEVIATIONS = round(2 * Z90, 2)
"""Width of a two-sided 90% interval [sd]. Definition: twice the 95th percentile of the normal law, to the two decimals
that the recording rules show, which must agree."""


@dataclass(slots=True)
class _Pool:
    """What is remembered of a pool between two views."""

    arrivals: PoolArrivals
    sizing: Sizing


class FleetModel:
    """Fleet numbers by model and role. What it remembers is bounded by the engines of the last few minutes."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._pools: dict[PoolKey, _Pool] = {}
        self._first_seen: dict[str, float] = {}
        self._restored: dict[PoolKey, tuple[float, float]] = {}
        """The last numbers before a restart, of pools of which no engine has been seen yet."""

    def update(self, now: float, targets: Sequence[TargetView]) -> tuple[ModelView, ...]:
        """The models as the targets' views show them at ``now`` [unix s], which never goes back."""
        self._first_seen = {t.target: self._first_seen.get(t.target, now) for t in targets}
        unseen = any(
            t.scrape_age_seconds is None and now - self._first_seen[t.target] < self._options.scale_up_seconds
            for t in targets
        )
        engines: dict[PoolKey, list[EngineView]] = defaultdict(list)
        stale: dict[PoolKey, int] = defaultdict(int)
        unviewed: dict[PoolKey, int] = defaultdict(int)
        for target in targets:
            for engine in target.engines:
                engines[engine.model_name, target.role].append(engine)
            for model_name in target.withheld:
                stale[model_name, target.role] += 1
            for model_name in target.unviewed:
                unviewed[model_name, target.role] += 1
        keys = sorted(engines.keys() | stale.keys() | unviewed.keys())
        self._pools = {key: self._pools.get(key) or self._new_pool(key, now) for key in keys}
        views = [self._view(now, key, engines[key], (stale[key], unviewed[key]), unseen) for key in keys]
        return tuple(with_roles(views))

    def dump(self) -> dict[str, dict[str, list[float]]]:
        """The number of replicas of each pool, and when all was known last [unix s], by model name and role."""
        found = self._restored | {key: last for key, pool in self._pools.items() if (last := pool.sizing.dump())}
        dumped: dict[str, dict[str, list[float]]] = {}
        for (model_name, role), last in found.items():
            dumped.setdefault(model_name, {})[role] = list(last)
        return dumped

    def restore(self, dumped: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Take up what was dumped, before the first view. Raises ValueError or TypeError for what cannot be any."""
        restored = {}
        for model_name, roles in dumped.items():
            for role, (required, complete_at) in roles.items():
                numbers = float(required), float(complete_at)
                if not all(map(isfinite, numbers)) or not numbers[0].is_integer() or numbers[0] < 0:
                    raise ValueError(f"{required} is no number of replicas, or {complete_at} no time")
                restored[model_name, role] = numbers
        self._restored = restored

    def _new_pool(self, key: PoolKey, now: float) -> _Pool:
        longest = max(self._options.windows_seconds.values())
        sizing = Sizing(hold_seconds=max(self._options.scale_up_seconds, longest), calm_seconds=longest)
        if key in self._restored:
            sizing.restore(*self._restored.pop(key), now)
        return _Pool(PoolArrivals(self._options.windows_seconds), sizing)

    def _view(
        self, now: float, key: PoolKey, engines: list[EngineView], hidden: tuple[int, int], unseen: bool
    ) -> ModelView:
        """One pool; ``hidden`` are the numbers of its engines that are stale, and that have not been viewed yet."""
        pool, (stale, unviewed) = self._pools[key], hidden
        serving = [e for e in engines if e.arrival_rate.value]
        starting = [e for e in engines if not e.arrival_rate.value and self._is_young(e)]
        flow = pool.arrivals.update(now, [_serving(e) for e in serving])
        rates = [e.service_rate.value for e in engines if e.service_rate.value]
        mean = sum(rates) / len(rates) if rates else None
        waiting = sum(e.queue_length or 0.0 for e in engines)
        inside = waiting + sum(e.running_requests or 0.0 for e in engines)
        utilization, hottest = _utilization(engines)
        need = None
        if flow is not None and (mean is not None or flow.rate == 0):
            planned = self._planned(flow.rate, serving) if flow.settled else flow.rate
            per_replica = len(engines) / len({e.target for e in engines}) if engines else 1.0
            capacity = (mean or 1.0) * per_replica * self._options.target_utilization
            replicas = max(planned / capacity, _LEAST_NEED if inside else 0.0)
            if waiting >= max(inside - waiting, 1.0):
                # what waits is no smaller a need for having arrived before the window
                replicas = max(replicas, pool.sizing.required or 0.0)
            need = Need(replicas, flow.deviation / flow.rate if flow.rate else 0.0)
        silent = any(_is_silent(e) for e in engines)
        complete = not (stale or unviewed or starting or unseen or silent) and need is not None
        return ModelView(
            model_name=key[0],
            role=key[1],
            replicas_required=pool.sizing.update(now, need, complete=complete),
            model_arrival_rate=flow.rate if flow is not None else None,
            model_service_rate=sum(rates) if rates else None,
            mean_service_rate=mean,
            model_utilization=utilization,
            model_imbalance_ratio=hottest / utilization if utilization and hottest is not None else None,
            model_engines={
                "serving": float(len(engines) - len(starting)),
                "starting": float(len(starting) + unviewed),
                "stale": float(stale),
            },
        )

    def _is_young(self, engine: EngineView) -> bool:
        age = engine.engine_age_seconds
        return age is not None and age < self._options.scale_up_seconds

    def _planned(self, rate: float, serving: Iterable[EngineView]) -> float:
        """λ when a replica that is asked for now will serve, where the trend of all engines is beyond doubt."""
        slope, deviation = 0.0, 0.0
        for engine in serving:
            trend = engine.arrival_rate_slope
            if trend.value is None or trend.lower is None or trend.upper is None:
                return rate
            slope += trend.value
            deviation = hypot(deviation, (trend.upper - trend.lower) / INTERVAL_DEVIATIONS)
        if slope <= _SURE_DEVIATIONS * deviation:
            return rate
        # a mean over a window is what λ was half a window ago
        ahead = max(self._options.windows_seconds.values()) / 2 + self._options.scale_up_seconds
        return min(rate + slope * ahead, MOST_GROWTH * rate)


def _is_silent(engine: EngineView) -> bool:
    """Whether it has traffic that cannot be counted just now: requests have vanished in a mass, or a metric has."""
    rate = engine.arrival_rate
    return not rate.value and not {Reason.ABORTS, Reason.METRIC_MISSING}.isdisjoint(
        (rate.verdict, *rate.verdicts.values())
    )


def _serving(engine: EngineView) -> Serving:
    rate = engine.arrival_rate
    deviations = {
        window: (upper - rate.lower[window]) / INTERVAL_DEVIATIONS
        for window, upper in rate.upper.items()
        if window in rate.lower
    }
    name = (engine.target, engine.engine)
    return Serving(name, rate.value, deviations, engine.engine_age_seconds or 0.0)


def _utilization(engines: Iterable[EngineView]) -> tuple[float | None, float | None]:
    """(ρ of the pool, ρ of its hottest engine), over the longest window that an engine knows.

    The pool's is λ over μ of the engines whose μ is known, as the recording rules have it.
    """
    known = [e for e in engines if e.utilization.value]
    if not known:
        return None, None
    longest = max((e.utilization.value for e in known), key=len)
    window = list(longest)[-1]
    pairs = [(e.utilization.value[window], e.service_rate.value or 0.0) for e in known if window in e.utilization.value]
    total = sum(mu for _, mu in pairs)
    if total == 0:  # idle engines whose μ was never learnt
        return (0.0, 0.0) if all(rho == 0 for rho, _ in pairs) else (None, None)
    return sum(rho * mu for rho, mu in pairs) / total, max(rho for rho, _ in pairs)
