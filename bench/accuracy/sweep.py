"""All engines of the designs at several loads each, under their models' names and under an alias."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.accuracy.base_engines import base_design
from bench.accuracy.cases import Outcome, score
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.moe_engines import moe_design
from bench.accuracy.simulate import CACHE, obtain

LOADS = (0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95)
ENGINES, LOADS_EACH = 66, 5
DESIGNS = ("dense", "bases", "moe")
RISING_LOADS = ((0.15, 0.25, 0.5, 0.75), (0.25, 0.5, 0.75, 0.95))
"""Loads of the engines of even and of odd number, in designs other than the dense one. [choice]"""
_SAMPLE_SEED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """An engine to be scored under rising loads, once for each of ``names_known``."""

    engine: TrueEngine
    loads: tuple[float, ...]
    names_known: tuple[bool, ...] = (False,)
    folder: Path | None = CACHE


def loads_of(index: int, count: int) -> tuple[float, ...]:
    """``count`` of the loads for one engine, so that over eight engines each load comes equally often."""
    spread = len(LOADS) / count
    return tuple(sorted(LOADS[int(index + k * spread) % len(LOADS)] for k in range(count)))


def jobs_of(
    name: str, *, names_known: tuple[bool, ...], held_out: bool, every: int = 1, folder: Path | None = CACHE
) -> list[Job]:
    """The engines of a design that are to be scored.

    Args:
        name: One of :data:`DESIGNS`.
        names_known: Under which names: that of the model, an alias, or both.
        held_out: Whether to score those that nobody tunes on as well.
        every: A seeded sample of one in so many.
        folder: Where simulated runs are kept.
    """
    if name == "dense":
        engines = [(engine, loads_of(i, LOADS_EACH)) for i, engine in enumerate(design(ENGINES))]
    else:
        designed = base_design() if name == "bases" else moe_design()
        engines = [(engine, RISING_LOADS[i % 2]) for i, engine in enumerate(designed)]
    chosen = [(engine, loads) for engine, loads in engines if held_out or not engine.held_out]
    sample = sorted(random.Random(_SAMPLE_SEED).sample(range(len(chosen)), -(-len(chosen) // every)))
    return [Job(*chosen[i], names_known, folder) for i in sample]


def outcomes_of(job: Job) -> list[Outcome]:
    """All cases of one engine."""
    run = obtain(job.engine, job.loads, job.folder)
    return [outcome for known in job.names_known for outcome in score(job.engine, run, name_known=known)]


def sweep(jobs: Sequence[Job], processes: int) -> Iterator[list[Outcome]]:
    """The cases engine by engine, in the order of the design."""
    if processes <= 1:
        yield from map(outcomes_of, jobs)
        return
    with ProcessPoolExecutor(processes, initializer=os.nice, initargs=(5,)) as pool:
        yield from pool.map(outcomes_of, jobs)
