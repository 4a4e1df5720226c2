"""What a model's engines come to together: λ, μ, ρ, the hottest one, and how many replicas the traffic needs.

Each engine is a queue of its own, data-parallel ones too; tensor and pipeline parallelism are inside of one engine. A
pool is the engines of one model and one role. λ and μ add over it. Where prefill and decode are apart, each pool has
its own μ, and the model is as fast as the slower pool.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from kvwatch.core.kept import StateError, refusing
from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.evaluation import CLOCK_SHARE, Times
from kvwatch.core.pool.members import Members
from kvwatch.core.pool.pool import Pool
from kvwatch.core.pool.roles import with_roles
from kvwatch.views import EngineView, ModelView, TargetView

PoolKey = tuple[str, str]
"""(model_name, role); the role is empty where none is configured."""

_MOST_REPLICAS = 1_000_000
"""What a state file may ask for [replicas]. Choice: a thousand times the largest fleet; more is damage."""


@dataclass(slots=True)
class _Hidden:
    """Engines of a pool that have no view: stale ones, and fresh ones whose turn has not come."""

    stale: int = 0
    unviewed: int = 0


@dataclass(slots=True)
class _Listed:
    """What the targets' views show of one pool."""

    engines: list[EngineView] = field(default_factory=list)
    hidden: _Hidden = field(default_factory=_Hidden)


class FleetModel:
    """Fleet numbers by model and role. What it remembers is bounded by the engines of the last few minutes."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._times = Times.of(max(options.windows_seconds.values()))
        self._pools: dict[PoolKey, Pool] = {}
        self._first_seen: dict[str, float] = {}
        self._evaluated_at = float("-inf")
        self._restored: dict[PoolKey, tuple[float, float]] = {}
        """The last numbers before a restart, of pools of which no engine has been seen yet."""

    def update(self, now: float, targets: Sequence[TargetView]) -> tuple[ModelView, ...]:
        """The models as the targets' views show them at ``now`` [unix s], which never goes back.

        λ and the number of replicas are those of the last evaluation, which is at most 15 s old.
        """
        self._first_seen = {t.target: self._first_seen.get(t.target, now) for t in targets}
        unread = any(
            t.scrape_age_seconds is None and now - self._first_seen[t.target] < self._options.scale_up_seconds
            for t in targets
        )
        listed = _by_pool(targets)
        self._pools = {key: self._pools.get(key) or self._new_pool(key, now) for key in sorted(listed)}
        if now - self._evaluated_at >= (1 - CLOCK_SHARE) * self._times.evaluation:
            self._evaluated_at = now
            # a model that is gone for good is in no state file for ever
            self._restored = {k: last for k, last in self._restored.items() if now - last[1] <= self._times.memory}
            answering = {t.target: t.up for t in targets}
            for key, pool in self._pools.items():
                members = Members(listed[key].engines, answering, self._options)
                pool.evaluate(now, members, waits_for=unread or listed[key].hidden.unviewed > 0)
        return tuple(with_roles([self._view(key, listed[key]) for key in self._pools]))

    def dump(self) -> dict[str, dict[str, list[float]]]:
        """The number of replicas of each pool, and when it was last sure [unix s], by model name and role."""
        found = self._restored | {key: last for key, pool in self._pools.items() if (last := pool.sizing.dump())}
        dumped: dict[str, dict[str, list[float]]] = {}
        for (model_name, role), last in found.items():
            dumped.setdefault(model_name, {})[role] = list(last)
        return dumped

    def restore(self, dumped: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Take up what was dumped, before the first view. Raises StateError for what cannot be any."""
        restored = {}
        with refusing("models"):
            for model_name, roles in dumped.items():
                for role, (required, sure_at) in roles.items():
                    numbers = float(required), float(sure_at)
                    if not (numbers[0].is_integer() and 0 <= numbers[0] <= _MOST_REPLICAS and isfinite(numbers[1])):
                        raise StateError(f"{required!r} is no number of replicas, or {sure_at!r} no time")
                    restored[model_name, role] = numbers
        self._restored = restored

    def _new_pool(self, key: PoolKey, now: float) -> Pool:
        pool = Pool(self._times)
        if key in self._restored:
            pool.sizing.restore(*self._restored.pop(key), now)
        return pool

    def _view(self, key: PoolKey, listed: _Listed) -> ModelView:
        engines, pool = listed.engines, self._pools[key]
        starting = sum(not e.arrival_rate.value and self._is_young(e) for e in engines)
        rates = [e.service_rate.value for e in engines if e.service_rate.value]
        utilization, hottest = _utilization(engines)
        return ModelView(
            model_name=key[0],
            role=key[1],
            replicas_required=pool.number,
            replicas=float(len({e.target for e in engines})),
            replicas_added=pool.added,
            backlog_replicas=pool.need.backlog if pool.need is not None else None,
            model_arrival_rate=pool.arrival_rate,
            model_service_rate=sum(rates) if rates else None,
            mean_service_rate=sum(rates) / len(rates) if rates else None,
            model_utilization=utilization,
            model_imbalance_ratio=hottest / utilization if utilization and hottest is not None else None,
            model_engines={
                "serving": float(len(engines) - starting),
                "starting": float(starting + listed.hidden.unviewed),
                "stale": float(listed.hidden.stale),
            },
        )

    def _is_young(self, engine: EngineView) -> bool:
        age = engine.engine_age_seconds
        return age is not None and age < self._options.scale_up_seconds


def _by_pool(targets: Iterable[TargetView]) -> dict[PoolKey, _Listed]:
    listed: dict[PoolKey, _Listed] = defaultdict(_Listed)
    for target in targets:
        for engine in target.engines:
            listed[engine.model_name, target.role].engines.append(engine)
        for model_name in target.withheld:
            listed[model_name, target.role].hidden.stale += 1
        for model_name in target.unviewed:
            listed[model_name, target.role].hidden.unviewed += 1
    return listed


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
