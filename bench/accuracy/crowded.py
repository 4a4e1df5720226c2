"""Engines that serve less with all seats taken than with fewer, although memory has room: is a cap recommended there?

And nowhere else: each is watched as its plain twin, too. Published: whole GPU, 512 seats −23% against 128
(akamaslabs/vllm-benchmark); Qwen3-235B, 512 to 1024 seats −41% (ml-energy/leaderboard).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from bench.accuracy.drive import Drive
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.moe_engines import moe_design
from bench.accuracy.nature import Range
from bench.accuracy.saturated import FullEngine, keep_full
from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.workloads import Drawn
from kvwatch.embedded.workload import Segment, arrivals

KNEE = Range(0.25, 0.6)
"""Share of the seats from which on each further sequence slows all steps down. [choice: 128 and 512 of 512 and 1024]"""
LOST = Range(0.15, 0.45)
"""Throughput that all seats lose against the best cap, as drawn. [the two published: 23 and 41%]"""
_LEAST_SEATS = 128
_CAPS = tuple(0.2 + 0.05 * i for i in range(17))
"""Caps of which the truth is simulated, over the seats. [choice]"""
QUIET_LOAD, OVERLOAD = 0.85, 1.5
"""Arrivals over the rate under the best cap, before and in the overload. [choice]"""
_QUIET_SECONDS, _OVERLOAD_LIFETIMES, _LEAST_OVERLOAD_SECONDS = 300.0, 4.0, 240.0
_FIRST_DENSE = 66
_FINISHED = 1500


@dataclass(frozen=True, slots=True)
class CrowdedPhysics(StepPhysics):
    """Steps that slow down by ``crowding`` for each ``knee`` of sequences beyond the knee."""

    knee: float = 1.0
    crowding: float = 0.0

    def seconds(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> float:
        """Duration of a step without noise, pauses and gaps."""
        plain = StepPhysics.seconds(self, decoding, prefill_tokens, resident_tokens)
        return plain * (1 + self.crowding * max(decoding / self.knee - 1, 0.0))


@dataclass(frozen=True, slots=True)
class Cap:
    """What was recommended before an overload and in it, and what caps truly bring.

    ``gain_ratio`` is what the best cap truly serves more than all seats do, ``said_gain_ratio`` what the recommended
    one does, both in the long run; ``claimed_ratio`` and ``claimed_lower`` are kvwatch's word for the latter.
    """

    name: str
    crowded: bool
    seats: int
    best_cap: int
    gain_ratio: float
    said_before: int | None
    said: int | None
    said_gain_ratio: float | None
    claimed_ratio: float | None
    claimed_lower: float | None

    @property
    def false(self) -> bool:
        """Whether a cap was named that gains nothing."""
        return self.said is not None and (self.said_gain_ratio or 0.0) <= 0


def caps(engines: int) -> Iterator[Cap]:
    """Engines whose seats bind, of both designs in turn, each crowded and plain."""
    bound = [e for e in (*design(_FIRST_DENSE), *moe_design()) if _seats_bind(e) and not e.workload.prefixes]
    for engine in random.Random(_FIRST_DENSE).sample(bound, min(engines, len(bound))):
        yield watch(crowded(engine), is_crowded=True)
        yield watch(engine, is_crowded=False)


def _seats_bind(engine: TrueEngine) -> bool:
    running, seats = engine.concurrency, engine.settings.max_num_seqs
    return seats >= _LEAST_SEATS and running["kv"] > 1.5 * seats and running["tokens"] > 1.5 * seats


def crowded(engine: TrueEngine) -> TrueEngine:
    """The engine with a knee, and as much slower beyond it as a drawn loss asks for."""
    source = random.Random(engine.index)
    seats = engine.settings.max_num_seqs
    knee, lost = KNEE.draw(source), LOST.draw(source)
    full, few = (
        keep_full(engine, finished=_FINISHED),
        keep_full(_capped(engine, round(knee * seats)), finished=_FINISHED),
    )
    # rate of all seats = (1 − lost) · rate at the knee
    crowding = (full.rate / few.rate / (1 - lost) - 1) / (1 / knee - 1)
    plain = {f.name: getattr(engine.physics, f.name) for f in fields(StepPhysics)}
    return replace(engine, physics=CrowdedPhysics(**plain, knee=knee * seats, crowding=max(crowding, 0.0)))


def _capped(engine: TrueEngine, seats: int) -> TrueEngine:
    return replace(engine, settings=replace(engine.settings, max_num_seqs=max(seats, 1)))


def _rate(engine: TrueEngine, seats: int) -> FullEngine:
    return keep_full(_capped(engine, seats), finished=_FINISHED)


def watch(engine: TrueEngine, *, is_crowded: bool) -> Cap:
    """Under a steady load below what all seats serve, then in an overload until all seats have long been taken."""
    seats = engine.settings.max_num_seqs
    full = _rate(engine, seats)
    rates = {round(ratio * seats): _rate(engine, round(ratio * seats)).rate for ratio in _CAPS}
    best = max(rates, key=lambda cap: rates[cap])
    lasts = max(_OVERLOAD_LIFETIMES * full.lifetime_seconds, _LEAST_OVERLOAD_SECONDS)
    quiet, end = _QUIET_SECONDS, float(round(_QUIET_SECONDS + lasts))
    segments = [
        Segment(quiet, QUIET_LOAD * rates[best], QUIET_LOAD * rates[best]),
        Segment(end - quiet, OVERLOAD * rates[best], OVERLOAD * rates[best]),
    ]
    stream = arrivals(segments, Drawn(engine.pool), seed=engine.index, burstiness=engine.burstiness)
    drive = Drive(engine, stream, seed=engine.index)
    before = list(drive.watch(0.0, quiet, refresh_seconds=60))[-1][1]
    after = list(drive.watch(quiet + 1, end, refresh_seconds=60))[-1][1]
    said = after.recommended_max_num_seqs.value
    gain = after.recommended_gain_ratio
    return Cap(
        name=engine.name,
        crowded=is_crowded,
        seats=seats,
        best_cap=best,
        gain_ratio=rates[best] / full.rate - 1,
        said_before=_whole(before.recommended_max_num_seqs.value),
        said=_whole(said),
        said_gain_ratio=_rate(engine, round(said)).rate / full.rate - 1 if said is not None else None,
        claimed_ratio=gain.value,
        claimed_lower=gain.lower,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
