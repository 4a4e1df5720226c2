"""Outcomes on disk: a run is made once for one state of the sources it depends on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

import orjson

from bench.autoscaling.policies import Policy
from bench.autoscaling.scenarios import Scenario
from bench.autoscaling.simulate import Outcome, simulate

_ROOT = Path(__file__).parents[2]
CACHE = _ROOT / ".cache" / "autoscaling"
_ENGINES = (
    "kvwatch/embedded/*.py", "bench/accuracy/true_clock.py", "bench/accuracy/workloads.py",
    "bench/accuracy/s[ant]*.py", "bench/accuracy/nature.py", "bench/lead_time/engines.py",
    "bench/autoscaling/[chkw]*.py", "bench/autoscaling/simulate.py",
)  # fmt: skip
_CORE = ("kvwatch/core/**/*.py", "kvwatch/stats/*.py", "kvwatch/queueing/**/*.py", "kvwatch/facts.py")
"""What policies that use kvwatch depend on besides."""


@cache
def version(*, watched: bool) -> str:
    """Names the state of the sources."""
    digest = hashlib.sha256()
    for pattern in (*_ENGINES, *(_CORE if watched else ())):
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def path_of(scenario: Scenario, policy: Policy, folder: Path | None = None) -> Path:
    """Where an outcome lies."""
    folder = CACHE / version(watched=policy.watched) if folder is None else folder
    return folder / f"{hashlib.sha256(repr((scenario, policy)).encode()).hexdigest()[:20]}.json"


def load(path: Path) -> Outcome:
    """An outcome that is there."""
    return Outcome(**orjson.loads(path.read_bytes()))


def _obtain(job: tuple[Scenario, Policy, Path]) -> None:
    scenario, policy, path = job
    if not path.exists():
        outcome = simulate(scenario, policy)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_bytes(orjson.dumps(asdict(outcome)))
        path.with_suffix(".part").rename(path)


def obtain(
    pairs: Sequence[tuple[Scenario, Policy]], jobs: int, folder: Path | None = None
) -> Iterator[tuple[Scenario, Policy, Outcome]]:
    """Have all outcomes on disk; yields each as it is there, in order."""
    work = [(s, p, path_of(s, p, folder)) for s, p in pairs]
    with ProcessPoolExecutor(jobs, initializer=os.nice, initargs=(5,)) as pool:
        for (scenario, policy, path), _ in zip(work, pool.map(_obtain, work), strict=True):
            yield scenario, policy, load(path)
