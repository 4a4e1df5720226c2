"""The plan: what one engine sustains, how many are needed for a load, and what would make it fewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from kvwatch.embedded.latency_curve import LOADS, Point, Slo, highest_for, latency_curve
from kvwatch.embedded.saturation import Saturation
from kvwatch.planning.changes import Change, changes, sensitivities
from kvwatch.planning.engine import Basis, PlannedEngine

_NO_MORE_THAN = 1e-9
"""Slack of a ceiling [1]. Choice: far above rounding, far below any load."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked: loads [requests/s], and how close to its limit an engine may be.

    ``burstiness`` is the coefficient of variation of the times between arrivals.
    """

    rates: tuple[float, ...]
    target_utilization: float = 0.8
    slo: Slo = Slo()  # noqa: RUF009 (frozen)
    burstiness: float = 1.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many for one load, and for the ends of μ's interval; ``None`` where no number keeps to the targets."""

    rate: float
    number: int | None
    lower: int | None
    upper: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer.

    ``load`` is the utilization that replicas are counted at: the target's, or the lower one that the latency targets
    allow, as ``limited_by_latency`` says. ``slo`` are these targets.
    """

    service_rate: float
    lower: float
    upper: float
    full: Saturation
    load: float
    limited_by_latency: bool
    replicas: tuple[Replicas, ...]
    curve: tuple[Point, ...]
    changes: tuple[Change, ...]
    sensitivities: tuple[Change, ...]
    basis: tuple[Basis, ...]
    slo: Slo = Slo()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class Studied:
    """What an engine does, whatever load and latency are asked of it: all that takes long to work out."""

    engine: PlannedEngine
    full: Saturation
    curve: tuple[Point, ...]
    changes: tuple[Change, ...]
    sensitivities: tuple[Change, ...]


def study(engine: PlannedEngine, burstiness: float = 1.0, progress: Callable[[], None] = lambda: None) -> Studied:
    """Work it out; ``progress`` is called after each of many parts.

    Raises:
        ValueError: a request of the traffic can never run in this engine.
    """
    full = engine.full()
    progress()
    return Studied(
        engine,
        full,
        tuple(latency_curve(engine.loaded(full, burstiness), LOADS, progress)),
        tuple(changes(engine, progress)),
        tuple(sensitivities(engine, progress)),
    )


def make_plan(engine: PlannedEngine, wanted: Wanted, progress: Callable[[], None] = lambda: None) -> Plan:
    """The plan for an engine; raises as :func:`study`."""
    return planned(study(engine, wanted.burstiness, progress), wanted)


def planned(studied: Studied, wanted: Wanted) -> Plan:
    """How many replicas of an engine that has been studied."""
    engine = studied.engine
    rate = studied.full.throughput_rps * engine.factor
    allowed = highest_for(studied.curve, wanted.slo)
    load = min(wanted.target_utilization, allowed)
    return Plan(
        service_rate=rate,
        lower=rate * engine.lower_ratio,
        upper=rate * engine.upper_ratio,
        full=studied.full,
        load=load,
        limited_by_latency=allowed < wanted.target_utilization,
        replicas=tuple(_replicas(asked, rate, engine, load) for asked in wanted.rates),
        curve=studied.curve,
        changes=studied.changes,
        sensitivities=studied.sensitivities,
        basis=engine.basis,
        slo=wanted.slo,
    )


def _replicas(asked: float, rate: float, engine: PlannedEngine, load: float) -> Replicas:
    if load <= 0:
        return Replicas(asked, None, None, None)
    ratios = (1.0, engine.lower_ratio, engine.upper_ratio)
    number, most, least = (replicas_for(asked, rate * ratio * load) for ratio in ratios)
    return Replicas(asked, number, least, most)


def replicas_for(asked: float, each: float) -> int:
    """⌈λ/(μ·load)⌉, one at least where anything comes."""
    return max(ceil(asked / each - _NO_MORE_THAN), 1 if asked > 0 else 0)
