"""The command: tries the drawn faults and writes the results, or tries a few of them, as CI does.

python -m bench.mutation            # all that are drawn: half an hour on two cores
python -m bench.mutation --again    # those of them that survived, or that nobody has tried: the rest stays as it is
python -m bench.mutation --check    # those that CI tries, from the results that are there
python -m bench.mutation --only step_law --draw 0   # all faults whose name has a text in it
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any

import yaml

from bench.mutation import reach, report, sample, trial
from bench.mutation.mutants import Mutant
from bench.mutation.sample import ROOT
from bench.mutation.trial import SURVIVED, Job, Verdict
from bench.stamp import stamp

RESULTS = Path(__file__).parents[1] / "results"
DATA, PAGE, ACCEPTED = RESULTS / "mutation.json", RESULTS / "mutation.md", Path(__file__).parent / "survivors.yaml"


_CHECK_SECONDS = 900.0
"""CPU time after which a fault counts as hung where it is not known what its tests take [s]: four times all suites."""


def main() -> int:
    """Do what is asked for; 1 where too few faults are found."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutation", description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"try {sample.CHECKED} faults, write nothing")
    parser.add_argument("--again", action="store_true", help="try survivors and new faults, keep the other results")
    parser.add_argument("--page", action="store_true", help="write the page from the results that are there")
    parser.add_argument("--draw", type=int, default=sample.SAMPLE, help="faults to draw; 0 for all there are")
    parser.add_argument("--only", default="", help="faults only whose name has this text in it; writes nothing")
    parser.add_argument("--tests", default="", help="test files only whose path begins with this; writes nothing")
    parser.add_argument("--most-seconds", type=float, default=inf, help="CPU for a fault; beyond it no test is begun")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    arguments = parser.parse_args()
    if arguments.page:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    trial.warm_up()
    if arguments.check:
        return check(arguments.jobs)
    known = [m for m in sample.everything() if arguments.only in m.name]
    chosen = sample.drawn(known, arguments.draw or len(known))
    titled = [*([] if arguments.only else sample.always()), *(("", m) for m in chosen)]
    if arguments.again:
        rows = again(titled, arguments.jobs, arguments.most_seconds)
    else:
        reached = reaches(arguments.jobs, arguments.tests)
        tried = try_all([m for _, m in titled], reached, arguments.jobs, arguments.most_seconds)
        rows = report.as_rows(titled, {verdict.mutant: verdict for verdict in tried}, stamp()["commit"])
        if not arguments.only and not arguments.tests:
            write(rows, arguments.most_seconds)
    ratio = report.dead_ratio([row for row in rows if not row["always"]])
    print(f"{ratio:.1%} of {len(chosen)} drawn faults are found")
    return 0 if ratio >= report.LEAST_DEAD_RATIO else 1


def again(titled: Sequence[tuple[str, Mutant]], processes: int, most_seconds: float = inf) -> list[dict[str, Any]]:
    """Try what is new, what survived, and what was found by a test that is gone; the rows of all that are drawn.

    What was found stays found: its row says at which commit. What has a reason counts as a survivor and is not tried.
    The results are written after each fault, so that ending it costs one. No reach is measured: tests run by how near
    they are to the fault.
    """
    tried = {row["mutant"]: row for row in results_of()["faults"]}
    kept = {name: row for name, row in tried.items() if report.still_stands(row, ROOT)}
    open_ = [(title, m) for title, m in titled if m.name not in kept]
    open_.sort(key=lambda entry: entry[1].name in tried)
    reasons = accepted()
    limit = min(_CHECK_SECONDS, most_seconds + trial.LONGEST_TEST_SECONDS)
    jobs = [
        Job(m.name, partial(trial.try_mutant, m, reach.likeliest(m, None), most_seconds), limit)
        for _, m in open_
        if m.name not in reasons
    ]
    commit = stamp()["commit"]
    verdicts = {m.name: Verdict(m.name, SURVIVED, None, False, 0.0) for _, m in open_ if m.name in reasons}

    def record() -> None:
        fresh = report.as_rows([(title, m) for title, m in open_ if m.name in verdicts], verdicts, commit)
        known = tried | {row["mutant"]: row for row in fresh}
        write([known[m.name] for _, m in titled if m.name in known], most_seconds)

    record()
    for verdict in _verdicts(jobs, processes):
        verdicts[verdict.mutant] = verdict
        record()
    return [row for row in results_of()["faults"] if row["mutant"] in {m.name for _, m in titled}]


def write(rows: Sequence[dict[str, Any]], most_seconds: float = inf) -> None:
    """The results and their page."""
    bound = most_seconds if isfinite(most_seconds) else None
    results = {"made": stamp(), "most_seconds": bound, "faults": rows}
    DATA.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page of the results that are there."""
    results = results_of()
    possible = {mutant.name for mutant in sample.everything()}
    gone = {row["mutant"]: "the code that it changed is gone" for row in results["faults"]}
    reasons = {name: why for name, why in gone.items() if name not in possible} | accepted()
    return report.page(results["made"], results["faults"], reasons, results.get("most_seconds"))


def results_of() -> dict[str, Any]:
    """The committed results: when they were made, and what became of each fault."""
    if not DATA.exists():
        return {"made": {}, "faults": []}
    results: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return results


def accepted() -> dict[str, str]:
    """Survivors, and why each does not matter."""
    reasons: dict[str, str] = yaml.safe_load(ACCEPTED.read_text(encoding="utf-8")) or {}
    return reasons


def reaches(processes: int, beginning: str = "") -> list[reach.Reach]:
    """What each test file reaches, measured where it is not on disk. Raises RuntimeError where tests fail as it is."""
    files = [f for f in reach.test_files() if f.startswith(beginning)]
    missing = [f for f in files if not reach.cached(f).exists()]
    jobs = [Job(file, partial(trial.measure, file), 600.0) for file in missing]
    for job, answer, cpu in trial.run_all(jobs, processes):
        if "lines" not in answer:
            raise RuntimeError(f"{job.name} fails without any fault: {answer}")
        found = reach.Reach(job.name, cpu, {path: frozenset(lines) for path, lines in answer["lines"].items()})
        reach.save(found, reach.cached(job.name))
        print(f"{job.name}: {cpu:.1f} s", file=sys.stderr, flush=True)
    return [reach.load(reach.cached(f)) for f in files]


def try_all(
    mutants: Sequence[Mutant], known: Sequence[reach.Reach], processes: int, most_seconds: float = inf
) -> Iterator[Verdict]:
    """A verdict on each fault, as they come."""
    selection = reach.Selection(known)
    jobs = []
    for mutant in mutants:
        files = selection.files(mutant)
        call = partial(trial.try_mutant, mutant, [r.file for r in files], most_seconds)
        jobs.append(Job(mutant.name, call, trial.cpu_limit(files, most_seconds)))
    return _verdicts(jobs, processes)


def check(processes: int) -> int:
    """Try the faults of CI, each against the test that found it last, then against all that may find it.

    Known survivors count as such without being tried: that can only understate the share. Where several faults are
    new, it is worth measuring first which tests reach them.
    """
    last = {row["mutant"]: row for row in results_of()["faults"]}
    named = [m for _, m in sample.always()]
    chosen = [*named, *sample.drawn(sample.everything(), sample.CHECKED - len(named))]
    known = [m.name for m in chosen if last.get(m.name, {}).get("outcome") == SURVIVED]
    new = [m for m in chosen if m.name not in last]
    verdicts = {v.mutant: v for v in try_all(new, reaches(processes), processes)} if len(new) > 1 else {}
    jobs = [
        Job(m.name, partial(trial.try_mutant, m, reach.likeliest(m, last.get(m.name, {}).get("by"))), _CHECK_SECONDS)
        for m in chosen
        if m.name not in known and m.name not in verdicts
    ]
    verdicts |= {v.mutant: v for v in _verdicts(jobs, processes)}
    alive = known + [v.mutant for v in verdicts.values() if not v.dead]
    ratio = 1 - len(alive) / len(chosen)
    holds = ratio >= report.LEAST_DEAD_RATIO and not {m.name for m in named} & set(alive)
    print(f"{ratio:.0%} of {len(chosen)} faults are found; survivors: {'; '.join(alive) or 'none'}")
    print(f"{len(chosen) - len(alive)} passed, {0 if holds else len(alive)} failed")
    return 0 if holds else 1


def _verdicts(jobs: Sequence[Job], processes: int) -> Iterator[Verdict]:
    for number, (job, answer, cpu) in enumerate(trial.run_all(jobs, processes), 1):
        said = f"{number}/{len(jobs)} {cpu:5.1f} s {answer['outcome']}: {job.name} by {answer['by']}"
        print(said, file=sys.stderr, flush=True)
        yield Verdict(job.name, answer["outcome"], answer["by"], answer["cut"], cpu)


if __name__ == "__main__":
    sys.exit(main())
