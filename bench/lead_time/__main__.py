"""The command: simulates what is not simulated yet, judges all rules, writes tables and pictures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench.lead_time import judge, results, scenarios, store
from bench.stamp import stamp


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.lead_time", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--runs", type=int, help="so many cases, spread evenly over all (default: all)")
    parser.add_argument("--quick", action="store_true", help="a dozen short cases")
    parser.add_argument("--cached", action="store_true", help="only judge what is simulated already")
    parser.add_argument("--kind", action="append", help="cases of this kind only")
    parser.add_argument(
        "--cache", type=Path, help="folder for traces (default: .cache/lead_time, by version of the sources)"
    )
    parser.add_argument(
        "--output", type=Path, default=results.FOLDER, help="folder for lead_time.md, .json and pictures"
    )
    arguments = parser.parse_args()
    folder = arguments.cache or store.CACHE / store.version()
    cases = scenarios.quick() if arguments.quick else scenarios.chosen(arguments.runs)
    cases = [c for c in cases if arguments.kind is None or c.kind in arguments.kind]
    if arguments.cached:
        cases = [c for c in cases if store.path_of(c, folder).exists()]
    files = judge.rule_files()
    judged, cpu, started = [], 0.0, time.monotonic()
    for number, (case, _) in enumerate(store.obtain(cases, arguments.jobs, folder), 1):
        trace = store.load(case, folder)
        cpu += trace.cpu_seconds
        judged.append(judge.judge(case, trace, files))
        said = ", ".join(
            f"{v.rule} {'–' if v.lead_seconds is None else format(v.lead_seconds, '+.0f')}" for v in judged[-1].verdicts
        )
        elapsed = time.monotonic() - started
        print(f"{number}/{len(cases)} {elapsed:.0f} s: {case.name}: {said}", file=sys.stderr, flush=True)
    found = results.Results(stamp(), cpu, judged)
    print(results.pages(found)["lead_time.md"])
    results.save(found, arguments.output)


if __name__ == "__main__":
    main()
