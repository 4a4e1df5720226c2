"""Simulated engines of known truth under rising loads, as cases."""

from __future__ import annotations

from collections.abc import Iterator

from bench.accuracy.drive import ALIAS
from bench.accuracy.simulate import Run, obtain
from bench.accuracy.snapshot import EPOCH, Reader
from bench.accuracy.sweep import Job, jobs_of
from bench.accuracy.workloads import composition
from bench.sensitivity.replayed import Case, Mark
from kvwatch.facts import EngineKey, Scrape


def simulated(design: str, every: int) -> Iterator[Case]:
    """One of so many engines of a design that are there to tune on, each from its lightest load to its heaviest."""
    for job in jobs_of(design, names_known=(False,), held_out=False, every=every):
        run = obtain(job.engine, job.loads, job.folder)
        yield Case("sweep", f"{design}: {job.engine.name}", job.engine.told, _scrapes(job, run), _marks(job, run))


def _scrapes(job: Job, run: Run) -> list[Scrape]:
    """All scrapes of a run, under a model name that tells nothing."""
    reader = Reader(job.engine.settings, EngineKey(ALIAS, "0"))
    return list(run.trace.scrapes(reader, run.phases[0].start, run.phases[-1].end))


def _marks(job: Job, run: Run) -> list[Mark]:
    """The end of each phase, with the true rate for the requests that came in it."""
    settings, limit = job.engine.settings, run.full.limits[0]
    marks = []
    for phase in run.phases:
        shapes = run.trace.arrived(phase.start, phase.end)
        mean = composition(shapes, settings.block_size_tokens, settings.max_num_batched_tokens)
        truth = run.full.rate * job.engine.composition.of(limit) / mean.of(limit)
        marks.append(Mark(EPOCH + phase.end, phase.load, truth))
    return marks
