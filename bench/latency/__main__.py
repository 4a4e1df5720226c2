"""How far predicted latencies are from the embedded engine's own: ``python -m bench.latency``, ten minutes of CPU.

The engine's own are runs of up to 150,000 requests with their luck left in; the standard error of each is told from ten
parts of it. ``--truth`` makes them anew, which is most of the time; else those of the results file are taken.
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

from bench.latency.workloads import Workload, workloads
from kvwatch.embedded.latency_curve import latency_between, latency_curve
from kvwatch.embedded.open_loop import open_loop

RESULTS = Path(__file__).parents[1] / "results" / "latency.json"
REPORT = RESULTS.with_suffix(".md")
LOADS = {0.5: 8_000, 0.7: 12_000, 0.85: 30_000, 0.95: 150_000}
"""Loads that are compared [1], and how many requests the truth has at each; half as many where outputs are long."""
_SEED = 78
_PARTS = 10
_NEAR_RATIO, _NEAR_SECONDS = 0.2, 0.05
"""What a prediction may be off by: a fifth, or 50 ms."""

Truth = dict[str, dict[str, dict[str, float]]]


def truth_of(workload: Workload) -> Iterator[tuple[float, dict[str, float]]]:
    """95th percentiles [s] of a long run at each load, with their standard errors."""
    engine = workload.engine
    rate = engine.full().throughput_rps
    for load, requests in LOADS.items():
        number = requests // 2 if workload.name.startswith("reasoning") else requests
        seen = open_loop(engine.pool, engine.settings, engine.law, load * rate, requests=number, seed=_SEED)
        row = {"requests": float(number), "itl": seen.between(0.95)}
        for kind, values in (("wait", seen.wait_seconds), ("ttft", seen.first_token_seconds)):
            parts = [float(np.quantile(part, 0.95)) for part in np.array_split(values, _PARTS)]
            row[kind] = float(np.quantile(values, 0.95))
            row[f"{kind}_error"] = float(np.std(parts)) / _PARTS**0.5
        yield load, row


def main() -> None:
    """Compare, and write both results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", action="store_true", help="make the long runs anew")
    args = parser.parse_args()
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for workload in workloads():
        entry = known.setdefault(workload.name, {})
        if args.truth or "truth" not in entry:
            entry["truth"] = {str(load): row for load, row in truth_of(workload)}
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
        "Written by `python -m bench.latency`. Twenty made-up engines: five kinds of traffic, four of engines. 95th",
        "percentiles in seconds, predicted / true ± the standard error of the truth.",
        "",
        "| load | waiting time within 20% or 50 ms | first token | or within 2 errors of the truth | median error |",
        "|---|---|---|---|---|",
    ]
    for load in map(str, LOADS):
        pairs = {kind: list(_pairs(known, load, kind)) for kind in ("wait", "ttft")}
        near = {kind: sum(_near(p, t) for p, t, _ in found) for kind, found in pairs.items()}
        both = [one for found in pairs.values() for one in found]
        excused = sum(_near(p, t) or abs(p - t) <= 2 * error for p, t, error in both)
        errors = sorted(abs(log(p / t)) for p, t, _ in both)
        middle = exp(errors[len(errors) // 2]) - 1
        lines.append(
            f"| {load} | {near['wait']} of {len(pairs['wait'])} | {near['ttft']} of {len(pairs['ttft'])} "
            f"| {excused} of {len(both)} | {middle:.0%} |"
        )
    all_errors = np.array([log(p / t) for load in map(str, LOADS) for p, t, _ in _pairs(known, load, "ttft")])
    cpu = sorted(entry["cpu_seconds"] for entry in known.values())
    lines += [
        "",
        f"Standard deviation of the logarithm of predicted over true time to the first token: {all_errors.std():.2f}. ",
        f"A curve takes {cpu[len(cpu) // 2]:.1f} s of CPU in the median and {cpu[-1]:.1f} s at most.",
        "What has no prediction at a load would take too long a run.",
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


def _pairs(known: dict[str, Any], load: str, kind: str) -> Iterator[tuple[float, float, float]]:
    for entry in known.values():
        predicted, true = entry["predicted"][load][kind], entry["truth"][load]
        if predicted is not None:
            yield predicted, true[kind], true[f"{kind}_error"]


def _near(predicted: float, true: float) -> bool:
    return abs(predicted - true) <= max(_NEAR_RATIO * true, _NEAR_SECONDS)


if __name__ == "__main__":
    main()
