"""The command: scores recordings and simulated engines, prints the tables and writes them to a folder."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from bench.accuracy import report
from bench.accuracy.cases import Outcome
from bench.accuracy.changes import changes, restarts
from bench.accuracy.recordings import FOLDER, score_recording
from bench.accuracy.sweep import ENGINES, LOADS_EACH, QUICK_ENGINES, QUICK_LOADS_EACH, sweep

RESTARTED_ENGINES, CHANGED_ENGINES = 12, 6
RESULTS = Path(__file__).parents[1] / "results"
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
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for accuracy.md and accuracy.json")
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    texts, data = ["# Accuracy of the service rate\n"], {}
    if "recordings" in parts:
        folders = sorted(path for path in FOLDER.iterdir() if path.is_dir()) + arguments.folders
        phases = [outcome for folder in folders for outcome in score_recording(folder)]
        texts.append(report.recordings(phases))
        data["recordings"] = report.as_json(phases)
    if "sweep" in parts:
        engines = arguments.engines or (QUICK_ENGINES if arguments.quick else ENGINES)
        loads = arguments.loads or (QUICK_LOADS_EACH if arguments.quick else LOADS_EACH)
        outcomes: list[Outcome] = []
        for cases in sweep(engines, loads, arguments.jobs):
            outcomes += cases
            errors = ", ".join(f"{o.load:g}: {report.ratio(o.error)}" for o in cases)
            print(f"{cases[0].name} [{cases[0].conditions}] {errors}", file=sys.stderr, flush=True)
        texts.append(report.sweep(outcomes))
        data["sweep"] = report.as_json(outcomes)
    if "restarts" in parts:
        restarted = list(restarts(arguments.engines or (4 if arguments.quick else RESTARTED_ENGINES)))
        texts.append(report.restarts(restarted))
        data["restarts"] = [asdict(r) for r in restarted]
    if "changes" in parts:
        changed = list(changes(arguments.engines or (2 if arguments.quick else CHANGED_ENGINES)))
        texts.append(report.changes(changed))
        data["changes"] = [asdict(c) for c in changed]
    text = "\n".join(texts)
    print(text)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "accuracy.md").write_text(text)
    (arguments.output / "accuracy.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
