"""How far predicted latencies are from the embedded engine's own: ``python -m bench.latency``, four minutes of CPU.

``--truth`` makes the engine's own anew, which takes half an hour more; else those of the results file are taken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from math import exp, log
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from bench.latency.truth import LOADS, truth_at
from bench.latency.workloads import workloads
from kvwatch.embedded.latency_curve import latency_between, latency_curve

RESULTS = Path(__file__).parents[1] / "results" / "latency.json"
REPORT = RESULTS.with_suffix(".md")
_NEAR_RATIO, _NEAR_SECONDS = 0.2, 0.05
"""What a prediction may be off by: a fifth, or 50 ms."""


def main() -> None:
    """Compare, and write both results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", action="store_true", help="make the engine's own anew")
    parser.add_argument("--only", metavar="TEXT", help="workloads whose names contain this")
    args = parser.parse_args()
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for workload in workloads():
        if args.only is not None and args.only not in workload.name:
            continue
        entry = known.setdefault(workload.name, {})
        if args.truth or "truth" not in entry:
            entry["truth"] = {str(load): truth_at(workload, load) for load in LOADS}
        began = process_time()
        points = latency_curve(workload.engine.loaded(workload.engine.full()))
        entry["cpu_seconds"] = round(process_time() - began, 2)
        entry["predicted"] = {
            str(load): {kind: latency_between(points, kind, 0.95, load) for kind in ("wait", "ttft", "itl")}
            for load in LOADS
        }
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        print(workload.name, entry["cpu_seconds"], flush=True)
    REPORT.write_text(report(known))


def report(known: dict[str, Any]) -> str:
    """The comparison as a page."""
    lines = [
        "# Predicted latency against the embedded engine's own",
        "",
        f"Written by `python -m bench.latency`. {len(known)} of twenty made-up engines: five kinds of traffic, four of",
        "engines. 95th percentiles in seconds, predicted / true ± the standard error of the truth, which is that of",
        "several runs with seeds of their own.",
        "",
        "| load | waiting time within 20% or 50 ms | first token | or within twice its error | median error |",
        "|---|---|---|---|---|",
    ]
    for load in map(str, LOADS):
        pairs = {kind: list(_pairs(known, load, kind)) for kind in ("wait", "ttft")}
        both = [one for found in pairs.values() for one in found]
        excused = sum(_near(p, t) or abs(p - t) <= 2 * error for p, t, error in both)
        errors = sorted(abs(log(p / t)) for p, t, _ in both)
        middle = exp(errors[len(errors) // 2]) - 1
        lines.append(
            f"| {load} | {' | '.join('{} of {}'.format(*near(known, load, kind)) for kind in pairs)} "
            f"| {excused} of {len(both)} | {middle:.0%} |"
        )
    all_errors = np.array([log(p / t) for load in map(str, LOADS) for p, t, _ in _pairs(known, load, "ttft")])
    cpu = sorted(entry["cpu_seconds"] for entry in known.values())
    lines += [
        "",
        f"Standard deviation of the logarithm of predicted over true time to the first token: {all_errors.std():.2f}. ",
        f"A curve takes {cpu[len(cpu) // 2]:.1f} s of CPU in the median and {cpu[-1]:.1f} s at most.",
        "",
        "| workload | " + " | ".join(f"wait at {load}" for load in LOADS) + " | CPU |",
        "|---|" + "---|" * (len(LOADS) + 1),
    ]
    for name, entry in known.items():
        cells = []
        for load in map(str, LOADS):
            true, predicted = entry["truth"][load], entry["predicted"][load]["wait"]
            shown = "–" if predicted is None else f"{predicted:.3g}"
            cells.append(f"{shown} / {true['wait']:.3g} ± {true['wait_error']:.2g}")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {entry['cpu_seconds']} s |")
    return "\n".join(lines) + "\n"


def near(known: dict[str, Any], load: str, kind: str) -> tuple[int, int]:
    """How many predictions are near the truth, of how many."""
    found = [_near(predicted, true) for predicted, true, _ in _pairs(known, load, kind)]
    return sum(found), len(found)


def _pairs(known: dict[str, Any], load: str, kind: str) -> Iterator[tuple[float, float, float]]:
    for entry in known.values():
        predicted, true = entry["predicted"][load][kind], entry["truth"][load]
        if predicted is not None:
            yield predicted, true[kind], true[f"{kind}_error"]


def _near(predicted: float, true: float) -> bool:
    return abs(predicted - true) <= max(_NEAR_RATIO * true, _NEAR_SECONDS)


if __name__ == "__main__":
    main()
