"""The command: records what is not recorded yet, thins it out, and writes what that costs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from bench.coarse.cases import BASES, INTERVALS, RAMP_MINUTES, recorded
from bench.coarse.measure import Measured, cost, measure
from bench.coarse.report import save
from bench.stamp import stamp

CACHE = Path(__file__).parents[2] / ".cache" / "coarse"
SEEDS = (1,)


def _case(base: str, minutes: int, seed: int, work: Path) -> dict[int, Measured]:
    recording = recorded(base, minutes, seed, CACHE)
    found = {every: measure(recording, every, work) for every in INTERVALS}
    print(f"{recording.name} is done", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(prog="python -m bench.coarse", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    jobs = parser.parse_args().jobs
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(_case, *case, Path(work)) for case in product(BASES, RAMP_MINUTES, SEEDS)]
        cases = [future.result() for future in futures]
    leads = {
        by[INTERVALS[0]].case: {
            str(every): None
            if by[every].page_at is None or by[INTERVALS[0]].queue_at is None
            else round(by[INTERVALS[0]].queue_at - by[every].page_at, 1)
            for every in INTERVALS
        }
        for by in cases
    }
    save([cost(cases, every, INTERVALS[0]) for every in INTERVALS[1:]], leads, stamp())


if __name__ == "__main__":
    main()
