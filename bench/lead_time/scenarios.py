"""What happens in each case: the course of the load, of the mix and of the hardware. Seeded, the same each time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bench.lead_time.engines import ENGINES

RAMP_MINUTES = (5, 10, 15, 30, 60, 120, 180)
STABLE_LOADS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85)
NEAR_LOAD = 0.9
"""Held too, and reported by itself: it is above what counts as stable."""
STABLE_HOURS, NEAR_HOURS, DAY_HOURS = 17.0, 4.0, 24.0
STABLE_UP_TO = 0.85
TOP = 1.25
"""ρ at the end of a ramp, held until the queue has grown for long enough."""
_WARM_SECONDS, _HOLD_SECONDS = 1800.0, 1800.0
_SHIFT_SECONDS = (0.0, 600.0, 1800.0)
_DAY_PEAKS = (0.75, 0.8, 0.85, 1.05, 1.12, 1.2)
_DAY_TROUGH = 0.3


@dataclass(frozen=True, slots=True)
class Stretch:
    """ρ goes linearly from ``start`` to ``end`` in ``seconds``, as measured by the engine's μ at the case's start."""

    seconds: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated fleet and what happens to it.

    Attributes:
        name: Unique.
        kind: ``ramp``, ``fleet ramp``, ``step``, ``day``, ``bursts``, ``mix``, ``slowdown`` or ``stable``.
        engine: Number of the simulated engine; each replica is one.
        load: The course of ρ.
        overloads: Whether the queue is to grow for good.
        rise_at: Start of what leads there [s]; a page that began before is false.
        rise_seconds: How long it takes to its end.
        heavier: E[o] of the traffic goes up by this factor between ``rise_at`` and ``rise_at + rise_seconds``.
        slower: So do the steps of the engine.
        replicas: Engines behind an even, random balancer; ρ is that of each.
        interval: Prometheus' scrape and evaluation interval [s].
    """

    name: str
    kind: str
    engine: int
    load: tuple[Stretch, ...]
    overloads: bool = False
    rise_at: float = 0.0
    rise_seconds: float = 0.0
    heavier: float = 1.0
    slower: float = 1.0
    replicas: int = 1
    interval: float = 30.0

    @property
    def seconds(self) -> float:
        """Length; a run ends earlier once its queue has grown for long enough."""
        return sum(s.seconds for s in self.load)

    @property
    def steady(self) -> bool:
        """Whether ρ stays at or below what counts as stable throughout."""
        return not self.overloads and self.kind != "bursts" and all(s.start <= STABLE_UP_TO for s in self.load)


def cases() -> list[Case]:
    """All of them, those that end in overload first."""
    return [*_ramps(), *_fleets(), *_steps(), *_shifts(), *_bursts(), *_days(), *_stable()]


def chosen(count: int | None) -> list[Case]:
    """``count`` cases spread evenly over all, or all."""
    every = cases()
    if count is None or count >= len(every):
        return every
    return [every[int(i * len(every) / count)] for i in range(count)]


def quick() -> list[Case]:
    """A few short ones, two minutes of CPU."""
    ramps = [c for c in _ramps() if c.rise_seconds in {600.0, 1800.0} and c.engine in {0, 7, 13}]
    stable = [Case(f"stable 0.{p} quick", "stable", 2, _steady(2.0, p / 10)) for p in (3, 6, 8)]
    return [*ramps, *stable]


def _interval(engine: int, *, long: bool = False) -> float:
    """15, 30 or 60 s; long cases leave the shortest out, for what they cost."""
    return (60.0 if long else 15.0, 30.0, 60.0, 60.0 if long else 30.0)[engine % 4]


def _steady(hours: float, load: float) -> tuple[Stretch, ...]:
    return (Stretch(3600 * hours, load, load),)


def _rising(base: float, seconds: float) -> tuple[Stretch, ...]:
    return (Stretch(_WARM_SECONDS, base, base), Stretch(seconds, base, TOP), Stretch(_HOLD_SECONDS, TOP, TOP))


def _ramp(engine: int, minutes: int, replicas: int = 1) -> Case:
    base = (0.3, 0.4, 0.5, 0.6)[(engine + RAMP_MINUTES.index(minutes)) % 4]
    kind = "ramp" if replicas == 1 else "fleet ramp"
    return Case(
        f"{kind} {minutes} min from {base}, engine {engine}", kind, engine, _rising(base, 60.0 * minutes),
        overloads=True, rise_at=_WARM_SECONDS, rise_seconds=60.0 * minutes, replicas=replicas,
        interval=_interval(engine),
    )  # fmt: skip


def _ramps() -> Iterator[Case]:
    for engine in range(ENGINES):
        for minutes in RAMP_MINUTES:
            yield _ramp(engine, minutes)


def _fleets() -> Iterator[Case]:
    for engine in range(0, ENGINES, 3):
        yield _ramp(engine, 30, replicas=3)


def _steps() -> Iterator[Case]:
    """From one second to the next: nobody can page before."""
    for engine in range(1, ENGINES, 3):
        load = (Stretch(_WARM_SECONDS, 0.5, 0.5), Stretch(_HOLD_SECONDS, TOP, TOP))
        yield Case(
            f"step, engine {engine}", "step", engine, load, overloads=True, rise_at=_WARM_SECONDS, rise_seconds=1.0,
            interval=_interval(engine),
        )  # fmt: skip


def _shifts() -> Iterator[Case]:
    """Longer outputs, or slower steps, at the same arrivals; half of them stay stable."""
    for number in range(ENGINES):
        overloads = number % 2 == 0
        rise = _SHIFT_SECONDS[number % 3]
        before = 0.6 if overloads else 0.35
        load = (Stretch(_WARM_SECONDS + max(rise, 1.0) + (_HOLD_SECONDS if overloads else 5400.0), before, before),)
        factor = 2.0
        for kind in ("mix", "slowdown"):
            yield Case(
                f"{kind} within {rise / 60:.0f} min from {before}, engine {number}", kind, number, load,
                overloads=overloads, rise_at=_WARM_SECONDS, rise_seconds=max(rise, 1.0),
                heavier=factor if kind == "mix" else 1.0, slower=factor if kind == "slowdown" else 1.0,
                interval=_interval(number),
            )  # fmt: skip


def _bursts() -> Iterator[Case]:
    """Two minutes at ρ = 1.1 three times an hour, half of the capacity else: the queue comes and goes."""
    for engine in range(2, ENGINES, 3):
        source = random.Random(engine)
        load: list[Stretch] = []
        for _ in range(12):
            load += [Stretch(source.uniform(600, 1500), 0.5, 0.5), Stretch(120.0, 1.1, 1.1)]
        yield Case(f"bursts, engine {engine}", "bursts", engine, (*load, Stretch(900, 0.5, 0.5)))


def _days() -> Iterator[Case]:
    """A day from trough to trough, with the shape of a sine."""
    for number, peak in enumerate(_DAY_PEAKS * 2):
        engine = (2 * number + 1) % ENGINES
        yield Case(
            f"day to {peak}, engine {engine}", "day", engine, _sine(_DAY_TROUGH, peak), overloads=peak > 1,
            rise_at=0.0, rise_seconds=DAY_HOURS * 1800, interval=_interval(engine, long=True),
        )  # fmt: skip


def _sine(trough: float, peak: float) -> tuple[Stretch, ...]:
    parts = 96
    levels = [(trough + peak) / 2 - (peak - trough) / 2 * math.cos(2 * math.pi * i / parts) for i in range(parts + 1)]
    pairs = pairwise(levels)
    return tuple(Stretch(DAY_HOURS * 3600 / parts, a, b) for a, b in pairs)


def _stable() -> Iterator[Case]:
    """Engines and loads in rounds, so that whatever is done first is spread over both."""
    loads = (*STABLE_LOADS, NEAR_LOAD)
    for place in range(len(loads)):
        for engine in range(ENGINES):
            load = loads[(place + engine) % len(loads)]
            hours = STABLE_HOURS if load <= STABLE_UP_TO else NEAR_HOURS
            yield Case(
                f"stable {load}, engine {engine}", "stable", engine, _steady(hours, load),
                interval=_interval(engine, long=True),
            )  # fmt: skip
