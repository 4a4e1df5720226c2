"""The command.

python -m bench.fault_day --write
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.fault_day.day import Day
from bench.fault_day.judge import Wrong, holds, is_cause, pages, wrong
from bench.stamp import stamp
from kvwatch.constants import HOUR_SECONDS

FILE = Path(__file__).parents[1] / "results" / "fault_day.json"


_OF_A_CALM_DAY = (
    "views",
    "with_service_rate",
    "service_rate_outside_interval",
    "internal_errors",
    "wrong",
    "wrong_by_number",
    "examples",
    "pages",
)
"""What is told of the same day without a fault."""


def measure(hours: float, seed: int, *, faults: bool = True) -> dict[str, Any]:
    """What a day comes to."""
    began = time.process_time()
    day = Day(hours * HOUR_SECONDS, seed, faults)
    moments = shown = 0
    refuted: list[Wrong] = []
    causes: list[float] = []
    rated = missed = 0
    for moment in day.moments():
        moments += 1
        shown += any(engine.utilization.value for engine in moment.engines)
        rates = [engine.service_rate for engine in moment.engines if engine.service_rate.value is not None]
        rated += len(rates)
        missed += sum(not holds(rate.lower, rate.upper, day.server.service_rate) for rate in rates)
        for found in wrong(moment, day.server):
            refuted.append(found)
            sys.stderr.write(f"{found.at:.0f} s, {found.fault}: {found.words}\n")
        if is_cause(day.server, moment.at, day.server.waiting):
            causes.append(moment.at)
    paged = pages(day, causes)
    return {
        "hours": hours,
        "seed": seed,
        "faults": sum(day.drawn.values()),
        "kinds": len(day.drawn),
        "views": moments,
        "with_load": shown,
        "with_service_rate": rated,
        "service_rate_outside_interval": missed,
        "internal_errors": day.internal_errors,
        "wrong": len(refuted),
        "wrong_by_number": dict(Counter(w.words.partition(" ")[0] for w in refuted)),
        "wrong_by_fault": dict(Counter(w.fault for w in refuted).most_common()),
        "examples": [f"{w.at:.0f} s, {w.fault or 'afterwards'}: {w.words}" for w in refuted[:40]],
        "pages": [{"alert": p.alert, "start": p.start, "end": p.end, "right": p.right} for p in paged],
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.fault_day", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24.0, help="how long (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="another day (default 0)")
    parser.add_argument("--calm", action="store_true", help="without a fault")
    parser.add_argument("--write", action="store_true", help="put it into bench/results")
    args = parser.parse_args()
    found = {"made": stamp()} | measure(args.hours, args.seed, faults=not args.calm)
    if not args.calm:  # what is wrong there too is no fault's
        calm = measure(args.hours, args.seed, faults=False)
        found["calm"] = {name: calm[name] for name in _OF_A_CALM_DAY}
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if args.write:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
