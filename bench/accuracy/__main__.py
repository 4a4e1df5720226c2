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
from bench.accuracy.crowded import caps
from bench.accuracy.rebuilt import score_rebuilt
from bench.accuracy.recordings import FOLDER, score_recording
from bench.accuracy.simulate import CACHE
from bench.accuracy.sweep import DESIGNS, jobs_of, sweep
from bench.stamp import stamp

RESTARTED_ENGINES, CHANGED_ENGINES, CROWDED_ENGINES = 12, 6, 8
PARTS = ("recordings", "rebuilt", *DESIGNS, "restarts", "changes", "caps")
NAMES = {"alias": (False,), "known": (True,), "both": (True, False)}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="recordings to score besides the committed ones")
    parser.add_argument(
        "--rebuilt", nargs="*", type=Path, default=[], help="recordings rebuilt from traces of real GPUs"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part only")
    parser.add_argument("--every", type=int, default=1, help="a seeded sample of one simulated engine in so many")
    parser.add_argument("--held-out", action="store_true", help="score the engines that nobody tunes on, too")
    parser.add_argument("--names", choices=NAMES, default="both", help="model names that kvwatch sees (default both)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of simulated runs")
    parser.add_argument("--output", type=Path, default=results.FOLDER, help="folder for accuracy.md and accuracy.json")
    arguments = parser.parse_args()
    parts = arguments.only or [part for part in PARTS if part != "rebuilt" or arguments.rebuilt]
    found = results.load(arguments.output)
    if "recordings" in parts:
        folders = sorted(path.parent for path in FOLDER.glob("*/truth.json")) + arguments.folders
        found.recordings = [outcome for folder in folders for outcome in score_recording(folder)]
    if "rebuilt" in parts:
        found.rebuilt = [outcome for folder in arguments.rebuilt for outcome in score_rebuilt(folder)]
    for design in DESIGNS:
        if design not in parts:
            continue
        jobs = jobs_of(
            design,
            names_known=NAMES[arguments.names],
            held_out=arguments.held_out,
            every=arguments.every,
            folder=arguments.cache,
        )
        outcomes: list[Outcome] = []
        for cases in sweep(jobs, arguments.jobs):
            outcomes += cases
            errors = ", ".join(f"{o.load:g}{'' if o.name_known else ' alias'}: {report.ratio(o.error)}" for o in cases)
            print(f"{cases[0].name} [{cases[0].conditions}] {errors}", file=sys.stderr, flush=True)
        found.designs[design] = outcomes
    if "restarts" in parts:
        found.restarts = list(restarts(RESTARTED_ENGINES // arguments.every))
    if "changes" in parts:
        found.changes = list(changes(CHANGED_ENGINES // arguments.every))
    if "caps" in parts:
        found.caps = list(caps(CROWDED_ENGINES // arguments.every))
    found.made |= dict.fromkeys(parts, stamp())
    print(results.page(found))
    results.save(found, arguments.output)


if __name__ == "__main__":
    main()
