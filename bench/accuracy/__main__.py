"""The command: scores recordings and simulated engines, prints the tables and writes them to a folder.

Parts that are not run stay as they are there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.accuracy import report, results
from bench.accuracy.cases import Outcome
from bench.accuracy.changes import changes, restarts
from bench.accuracy.recordings import FOLDER, score_recording
from bench.accuracy.sweep import ENGINES, LOADS_EACH, QUICK_ENGINES, QUICK_LOADS_EACH, sweep
from bench.stamp import stamp

RESTARTED_ENGINES, CHANGED_ENGINES = 12, 6
PARTS = ("recordings", "sweep", "restarts", "changes")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="recordings to score besides the committed ones")
    parser.add_argument("--quick", action="store_true", help="few simulated engines")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part only")
    parser.add_argument("--engines", type=int, help="simulated engines")
    parser.add_argument("--loads", type=int, help="loads for each of them")
    parser.add_argument("--output", type=Path, default=results.FOLDER, help="folder for accuracy.md and accuracy.json")
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    found = results.load(arguments.output)
    if "recordings" in parts:
        folders = sorted(path for path in FOLDER.iterdir() if path.is_dir()) + arguments.folders
        found.recordings = [outcome for folder in folders for outcome in score_recording(folder)]
    if "sweep" in parts:
        engines = arguments.engines or (QUICK_ENGINES if arguments.quick else ENGINES)
        loads = arguments.loads or (QUICK_LOADS_EACH if arguments.quick else LOADS_EACH)
        outcomes: list[Outcome] = []
        for cases in sweep(engines, loads, arguments.jobs):
            outcomes += cases
            errors = ", ".join(f"{o.load:g}: {report.ratio(o.error)}" for o in cases)
            print(f"{cases[0].name} [{cases[0].conditions}] {errors}", file=sys.stderr, flush=True)
        found.sweep = outcomes
    if "restarts" in parts:
        found.restarts = list(restarts(arguments.engines or (4 if arguments.quick else RESTARTED_ENGINES)))
    if "changes" in parts:
        found.changes = list(changes(arguments.engines or (2 if arguments.quick else CHANGED_ENGINES)))
    found.made |= dict.fromkeys(parts, stamp())
    print(results.page(found))
    results.save(found, arguments.output)


if __name__ == "__main__":
    main()
