"""The command: halves and doubles each constant, and writes what becomes of the accuracy to a folder.

python -m bench.sensitivity                    # all: three quarters of an hour of CPU
python -m bench.sensitivity service_rate wave  # those with such a name; the others keep their results
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

import orjson

from bench.accuracy.sweep import DESIGNS
from bench.sensitivity import patched, report
from bench.sensitivity.found import Constant, constants, sources
from bench.sensitivity.patched import Scaled, Touches, forget
from bench.sensitivity.replayed import Answer, Case, answers, recordings
from bench.sensitivity.scores import difference, score
from bench.sensitivity.simulated import simulated
from bench.stamp import stamp

FACTORS = (0.5, 2.0)
RESULTS = Path(__file__).parents[1] / "results"
RECORDINGS = Path(__file__).parents[2] / "tests" / "data" / "recordings"
PACKAGES = ("constants", "stats", "queueing", "embedded", "core", "views")
LONGEST_SECONDS = 600.0
"""After this a variant counts as one that does not end [s]."""

Answers = list[list[Answer]]


def main() -> None:
    """Try every constant that the cases touch."""
    parser = argparse.ArgumentParser(prog="python -m bench.sensitivity", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="only constants whose module.NAME contains one of these; the others keep their results"
    )
    parser.add_argument("--logs", action="store_true", help="recordings whole and with their logs, too: twice the time")
    parser.add_argument("--sweep", type=int, default=0, help="simulated engines too, one of each this many (0: none)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for sensitivity.md and sensitivity.json")
    arguments = parser.parse_args()
    path = arguments.output / "sensitivity.json"
    cases = list(recordings(RECORDINGS, with_logs=arguments.logs))
    if arguments.sweep:
        cases += [case for design in DESIGNS for case in simulated(design, arguments.sweep)]
    known = {(c.module, c.name): c for path in sources() for c in constants(path)}
    touched = _touched(cases)
    usual = _asked(cases, None)
    if isinstance(usual, str):
        raise SystemExit(usual)
    rows = []
    for key, constant in known.items():
        if arguments.names and not any(name in f"{constant.module}.{constant.name}" for name in arguments.names):
            continue
        rows.append(_row(cases, constant, usual, touched=key in touched))
        print(report.line(rows[-1]), file=sys.stderr, flush=True)
    if arguments.names and path.exists():
        tried = {(row["module"], row["name"]) for row in rows}
        before = orjson.loads(path.read_bytes())["constants"]
        rows += [row for row in before if (row["module"], row["name"]) in known.keys() - tried]
    data = {
        "made": stamp(),
        "cases": [case.name for case in cases],
        "usual": {group: asdict(score(*of)) for group, of in _groups(cases, usual).items()},
        "constants": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
    path.with_suffix(".md").write_text(report.text(data))


def _row(cases: Sequence[Case], constant: Constant, usual: Answers, *, touched: bool) -> dict[str, object]:
    """A constant and, by factor, what its variant scores; none where it is defined, or no case reads it."""
    row: dict[str, object] = {"module": constant.module, "name": constant.name, "value": constant.value}
    row["commit"] = stamp()["commit"]
    row["defined"] = "Definition" in constant.text
    row["touched"] = touched
    variants: dict[str, object] = {}
    if touched and not row["defined"]:
        for factor in FACTORS:
            said = _asked(cases, Scaled(constant.module, constant.name, factor))
            variants[f"{factor:g}"] = {"fails": said} if isinstance(said, str) else _scored(cases, usual, said)
    row["variants"] = variants
    return row


def _scored(cases: Sequence[Case], usual: Answers, said: Answers) -> dict[str, object]:
    """By group of cases, what a variant scores and how far it is from the usual."""
    before, after = _groups(cases, usual), _groups(cases, said)
    return {group: {**asdict(score(*of)), **asdict(difference(before[group][1], of[1]))} for group, of in after.items()}


def _groups(cases: Sequence[Case], said: Answers) -> dict[str, tuple[list[Case], Answers]]:
    """The cases and what is said of them, by group."""
    groups: dict[str, tuple[list[Case], Answers]] = {}
    for case, answer in zip(cases, said, strict=True):
        of = groups.setdefault(case.group, ([], []))
        of[0].append(case)
        of[1].append(answer)
    return groups


def _asked(cases: Sequence[Case], finder: Scaled | None) -> Answers | str:
    """The answers of a variant of the estimator to all cases, or why there are none."""
    return apart(lambda: [answers(case) for case in cases], finder)  # type: ignore[return-value]


def _touched(cases: Sequence[Case]) -> set[tuple[str, str]]:
    """The constants that the cases read."""

    def read() -> object:
        for case in cases:
            answers(case)
        return patched.touched

    found = apart(read, Touches())
    if isinstance(found, str):
        raise SystemExit(found)
    return found  # type: ignore[return-value]


def apart(work: Callable[[], object], finder: Scaled | Touches | None) -> object:
    """What work returns in a process of its own, in which kvwatch is imported anew behind a finder."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, finder, ours, theirs))
    process.start()
    theirs.close()
    result: object = f"no answer within {LONGEST_SECONDS:g} s"
    if ours.poll(LONGEST_SECONDS):
        try:
            result = pickle.loads(ours.recv_bytes())
        except EOFError:
            result = "the process died"
    process.kill()
    process.join()
    return result


def _work(work: Callable[[], object], finder: Scaled | Touches | None, parents: Connection, to: Connection) -> None:
    parents.close()  # or else nobody would notice that the parent has gone
    if finder is not None:
        sys.meta_path.insert(0, finder)
    forget([f"kvwatch.{package}" for package in PACKAGES])
    try:
        result = work()
    except Exception as fault:
        result = f"{type(fault).__name__}: {fault}"
    to.send_bytes(pickle.dumps(result))


if __name__ == "__main__":
    main()
