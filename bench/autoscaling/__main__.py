"""The command: simulates what is not simulated yet, writes the tables and the picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.autoscaling import policies, report, results, scenarios, store
from bench.stamp import stamp


def main() -> None:
    """Run the policies that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--quick", action="store_true", help="two short scenarios, each policy at its usual setting")
    parser.add_argument("--signal", action="append", choices=list(policies.SWEEPS), help="policies of this kind only")
    parser.add_argument("--cached", action="store_true", help="only report what is simulated already")
    parser.add_argument("--cache", type=Path, help="folder for outcomes (default: .cache/autoscaling, by version)")
    parser.add_argument("--output", type=Path, default=results.FOLDER, help="folder for autoscaling.md, .json and .svg")
    arguments = parser.parse_args()
    courses = scenarios.quick() if arguments.quick else scenarios.ALL
    chosen = [p for p in policies.sweep() if arguments.signal is None or p.signal in arguments.signal]
    if arguments.quick:
        chosen = [p for p in chosen if report.is_usual(p)]
    pairs = [(s, p) for p in chosen for s in courses]
    if arguments.cached:
        pairs = [(s, p) for s, p in pairs if store.path_of(s, p, arguments.cache).exists()]
    outcomes = {}
    for number, (scenario, policy, outcome) in enumerate(store.obtain(pairs, arguments.jobs, arguments.cache), 1):
        outcomes[scenario, policy] = outcome
        said = f"late {outcome.late / outcome.requests:.2%}, {outcome.gpu_hours:.1f} GPU-hours"
        print(f"{number}/{len(pairs)} {scenario.name}: {policy.name}: {said}", file=sys.stderr, flush=True)
    results.save(results.Results(stamp(), courses, outcomes), arguments.output)


if __name__ == "__main__":
    main()
