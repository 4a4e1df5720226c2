"""All simulated engines at several loads each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from bench.accuracy.cases import Outcome, score
from bench.accuracy.engines import design
from bench.accuracy.saturated import keep_full

LOADS = (0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95)
ENGINES, LOADS_EACH = 66, 5
QUICK_ENGINES, QUICK_LOADS_EACH = 16, 3


def loads_of(index: int, count: int) -> tuple[float, ...]:
    """``count`` of the loads for one engine, so that over eight engines each load comes equally often."""
    spread = len(LOADS) / count
    return tuple(sorted(LOADS[int(index + k * spread) % len(LOADS)] for k in range(count)))


def engine_outcomes(job: tuple[int, int, int]) -> list[Outcome]:
    """All cases of one engine: (its index, engines in the design, loads for each)."""
    index, engines, loads_each = job
    engine = design(engines)[index]
    full = keep_full(engine)
    return score(engine, full, loads_of(index, loads_each))


def sweep(engines: int, loads_each: int, processes: int) -> Iterator[list[Outcome]]:
    """The cases engine by engine, in the order of the design."""
    jobs = [(index, engines, loads_each) for index in range(engines)]
    if processes <= 1:
        yield from map(engine_outcomes, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(engine_outcomes, jobs)


def same_by_text(engine_index: int, load: float, engines: int) -> tuple[Outcome, Outcome]:
    """One case scraped as facts and as text: both ways must say the same."""
    engine = design(engines)[engine_index]
    full = keep_full(engine)
    (facts,), (text,) = score(engine, full, (load,)), score(engine, full, (load,), as_text=True)
    return facts, text
