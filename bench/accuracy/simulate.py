"""Runs a true engine under rising loads and notes all that is needed to judge any estimator; on disk, so only once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from bench.accuracy.engines import TrueEngine
from bench.accuracy.saturated import FullEngine, keep_full
from bench.accuracy.snapshot import row
from bench.accuracy.trace import Trace
from bench.accuracy.workloads import Drawn
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival, Segment, arrivals

PHASE_SECONDS = 300
"""Length of a phase. [choice]"""
QUIET_PHASE_SECONDS = 600
"""The same at loads up to a quarter, where few requests finish. [choice]"""
_MIN_WARM_SECONDS = 60.0
"""Time before anything is watched, at least. [choice]"""
_WARM_LIFETIMES = 1.5
"""The same in mean lives of a request. [choice]"""
_FINISHED = 800
"""Requests that a run of kvwatch's own model of the scheduler serves on the true traffic. [choice: good to 1%]"""
_ROOT = Path(__file__).parents[2]
CACHE = _ROOT / ".cache" / "accuracy"
_SOURCES = (
    "kvwatch/embedded/*.py",
    *(
        f"bench/accuracy/{name}.py"
        for name in ("routing", "saturated", "simulate", "snapshot", "step_physics", "trace", "true_clock", "workloads")
    ),
)
"""All that a run depends on, but for the engine itself, of which all is in its key."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A span of constant load: a share of μ, from ``start`` to ``end`` in virtual seconds."""

    load: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ModelledPool:
    """The mean step of kvwatch's model of the scheduler, kept full with the true traffic and what a user is told.

    ``composition`` is (n, p, K, φ), ``requests_per_step`` the tokens generated in a step over the mean output.
    """

    composition: tuple[float, float, float, float]
    requests_per_step: float


@dataclass(frozen=True, slots=True)
class Run:
    """A trace with what is true of the engine."""

    trace: Trace
    full: FullEngine
    modelled: ModelledPool
    phases: tuple[Phase, ...]


def phase_seconds(load: float) -> int:
    """How long a phase of a load lasts."""
    return QUIET_PHASE_SECONDS if load <= 0.25 else PHASE_SECONDS


def obtain(engine: TrueEngine, loads: Sequence[float], folder: Path | None = CACHE) -> Run:
    """The run of an engine under one load after the other, from disk if it is there; ``None``: without a disk."""
    path = None if folder is None else folder / f"{_key(engine, loads)}.npz"
    if path is not None and path.exists():
        trace = Trace.load(path)
    else:
        trace = simulate(engine, loads)
        if path is not None:
            trace.save(path)
    truth = trace.truth
    return Run(
        trace, _full(truth["full"]), _modelled(truth["modelled"]), tuple(Phase(*phase) for phase in truth["phases"])
    )


def simulate(engine: TrueEngine, loads: Sequence[float]) -> Trace:
    """Keep the engine full for its true rate, then put it under one load after the other and scrape it each second."""
    started = process_time()
    full = keep_full(engine)
    warm = max(_MIN_WARM_SECONDS, float(round(_WARM_LIFETIMES * full.lifetime_seconds)))
    segments = [Segment(warm, loads[0] * full.rate, loads[0] * full.rate)]
    phases = []
    for load in loads:
        start = phases[-1].end if phases else warm
        phases.append(Phase(load, start, start + phase_seconds(load)))
        segments.append(Segment(phases[-1].end - start, load * full.rate, load * full.rate))
    seed = 1000 * engine.index + round(100 * loads[0])
    arrived: list[Arrival] = []
    stream = _noted(arrivals(segments, Drawn(engine.pool), seed=seed, burstiness=engine.burstiness), arrived)
    running = Engine(engine.settings, engine.clock(seed), stream, async_scheduling=engine.async_scheduling)
    at = [warm + second for second in range(round(phases[-1].end - warm) + 1)]
    rows = []
    for time in at:
        running.advance(time)
        running.take_ended()
        rows.append(row(running))
    shapes = [
        (a.at, a.shape.prompt_tokens, a.shape.output_tokens, a.shape.shared_prefix_tokens, a.shape.prefix_id)
        for a in arrived
    ]
    truth: dict[str, Any] = {
        "full": asdict(full),
        "modelled": asdict(_model(engine)),
        "phases": [(p.load, p.start, p.end) for p in phases],
        "cpu_seconds": process_time() - started,
    }
    return Trace.made(at, rows, np.array(shapes, dtype=float).reshape(len(shapes), 5), truth)


def _noted(stream: Iterator[Arrival], arrived: list[Arrival]) -> Iterator[Arrival]:
    for arrival in stream:
        arrived.append(arrival)
        yield arrival


def _model(engine: TrueEngine) -> ModelledPool:
    """What saturates in kvwatch's own model does not depend on the time of steps, so any law will do."""
    running = min(engine.concurrency.values())
    steps = int(min(max((4 + _FINISHED / running) * engine.composition.steps, 2000), 30_000))
    mean = saturate(engine.pool, engine.settings, StepLaw(1.0), steps=steps, seed=engine.index)
    composition = (mean.mean_decoding, mean.mean_prefill_tokens, mean.mean_kv_tokens, mean.mean_prefill_share)
    return ModelledPool(composition, mean.throughput_rps * mean.mean_step_seconds)


def _key(engine: TrueEngine, loads: Sequence[float]) -> str:
    """Names a run: what the engine is, the loads, and the sources that the run depends on."""
    digest = hashlib.sha256(repr((engine, tuple(loads))).encode())
    for pattern in _SOURCES:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return f"{engine.index}-{digest.hexdigest()[:20]}"


def _full(stored: dict[str, Any]) -> FullEngine:
    n, p, k, share = stored["composition"]
    return FullEngine(**{**stored, "composition": (n, p, k, share), "limits": tuple(stored["limits"])})


def _modelled(stored: dict[str, Any]) -> ModelledPool:
    n, p, k, share = stored["composition"]
    return ModelledPool((n, p, k, share), stored["requests_per_step"])
