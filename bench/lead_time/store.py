"""Traces on disk: a case is simulated once for one state of the sources, whoever asks and however often."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.lead_time.scenarios import Case
from bench.lead_time.simulate import simulate
from bench.lead_time.trace import Trace

_ROOT = Path(__file__).parents[2]
CACHE = _ROOT / ".cache" / "lead_time"
_SOURCES = (
    "kvwatch/core/**/*.py", "kvwatch/stats/*.py", "kvwatch/queueing/**/*.py", "kvwatch/embedded/*.py",
    "kvwatch/export/c*.py", "kvwatch/facts.py", "kvwatch/views.py", "bench/accuracy/engines.py",
    "bench/accuracy/moe_engines.py", "bench/accuracy/nature.py", "bench/accuracy/routing.py",
    "bench/accuracy/s[ant]*.py", "bench/accuracy/true_clock.py", "bench/accuracy/workloads.py",
    "bench/lead_time/engines.py", "bench/lead_time/simulate.py",
)  # fmt: skip
"""All that a trace depends on, but for the case itself."""


def version() -> str:
    """Names the state of the sources."""
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def path_of(case: Case, folder: Path) -> Path:
    """Where a case's trace lies; another course of the same name lies elsewhere."""
    return folder / f"{hashlib.sha256(repr(case).encode()).hexdigest()[:20]}.npz"


def _obtain(job: tuple[Case, Path]) -> float:
    """Simulate a case unless it is there; what it cost, in seconds of CPU."""
    case, folder = job
    path = path_of(case, folder)
    if path.exists():
        return 0.0
    trace = simulate(case)
    trace.save(path)
    return trace.cpu_seconds


def obtain(cases: Sequence[Case], jobs: int, folder: Path) -> Iterator[tuple[Case, float]]:
    """Have all traces on disk; yields each case as it is there, with what it cost."""
    work = [(case, folder) for case in cases]
    if jobs <= 1:
        yield from ((case, _obtain((case, folder))) for case in cases)
        return
    with ProcessPoolExecutor(jobs, initializer=os.nice, initargs=(5,)) as pool:
        yield from zip(cases, pool.map(_obtain, work), strict=True)


def load(case: Case, folder: Path) -> Trace:
    """A case's trace."""
    return Trace.load(path_of(case, folder))
