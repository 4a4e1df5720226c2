"""The faults that mutation testing makes: which there are, that they are faults, and that the draw stays."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.mutation.__main__ as command
from bench.mutation import reach, report, sample, trial
from bench.mutation.__main__ import accepted
from bench.mutation.mutants import mutants
from bench.mutation.reach import Reach, Selection
from bench.mutation.trial import Job

SOURCE = '''"""A module."""

from dataclasses import dataclass

_LIMIT = 0.5
"""What μ may not exceed."""


@dataclass(frozen=True)
class Thing:
    """A thing."""

    size: int = 4

    def grown(self, μ: float, by: float = 2.0) -> float | None:
        """Docstring."""
        if μ < _LIMIT and self.size:
            return None
        self.seen += 1
        values = [μ, by]
        return max(values[0] + by, 3) if not self.size else μ * by
'''


def after(scope: str, kind: str) -> set[str]:
    """What the faults of a kind in a scope make of the code."""
    return {m.after for m in mutants("m.py", SOURCE.encode()) if (m.place.scope, m.kind) == (scope, kind)}


def test_the_faults_of_a_module_are_those_that_a_slip_could_make() -> None:
    """Constants of modules, classes, defaults and functions; both comparisons; each term and condition; effects."""
    assert after("_LIMIT", "constant") == {"0.0", "0.25", "1.0"}
    assert after("Thing.size", "constant") == {"0", "2", "8"}
    assert after("Thing.grown", "constant") == {"0.0", "1.0", "4.0", "0", "2", "1", "6"}
    assert after("Thing.grown", "comparison") == {"<=", ">="}
    assert after("Thing.grown", "term") == {"values[0]", "by", "3", "values[0] + by", "μ"}
    assert after("Thing.grown", "condition") >= {"True", "False", "self.size", "μ < _LIMIT"}
    assert after("Thing.grown", "statement") == {"(nothing)"}
    assert after("Thing.grown", "return") == {"return None"}


def test_every_fault_is_python_and_another_program() -> None:
    """Also behind letters of several bytes; each has a name of its own."""
    known = mutants("m.py", SOURCE.encode())
    plain = ast.dump(ast.parse(SOURCE))
    for mutant in known:
        assert ast.dump(ast.parse(mutant.applied(SOURCE.encode()))) != plain, mutant.name
    assert len({m.name for m in known}) == len(known)


def test_the_faults_that_once_survived_all_are_in_the_code() -> None:
    """A constant or function that is renamed is renamed in the sample too; else it would no longer be tried."""
    found = sample.always()
    assert {title for title, _ in found} == {a.title for a in sample.ALWAYS}
    sources = dict(sample.sources())
    for _, mutant in found:
        assert mutant.applied(sources[mutant.path]) != sources[mutant.path]


def test_a_draw_is_of_different_places_and_changes_only_where_the_code_does() -> None:
    """A shorter draw begins a longer one; a fault that is gone makes place for one other."""
    known = sample.everything()
    many = sample.drawn(known, 60)
    assert sample.drawn(known, 20) == many[:20]
    assert len({m.site for m in many}) == 60
    without = sample.drawn([m for m in known if m.site != many[7].site], 60)
    assert len({m.name for m in many} - {m.name for m in without}) == 1


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("grown comparison", ["tests/test_m.py", "tests/test_a.py"]),
        ("_LIMIT constant", ["tests/test_m.py", "tests/test_a.py"]),
    ],
)
def test_a_fault_is_tried_against_the_tests_that_execute_it_or_what_reads_it(
    wanted: str, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module's own tests first; a constant is executed by the import, and reached by what reads it."""
    monkeypatch.setattr(reach, "sources", lambda: [("m.py", SOURCE.encode())])
    line = SOURCE.splitlines().index("        if μ < _LIMIT and self.size:") + 1
    reaches = [
        Reach("tests/test_a.py", 0.1, {"m.py": frozenset({line})}),
        Reach("tests/test_b.py", 0.1, {"m.py": frozenset({line + 1})}),
        Reach("tests/test_m.py", 9.0, {"m.py": frozenset({line})}),
    ]
    mutant = next(m for m in mutants("m.py", SOURCE.encode()) if wanted in m.name)
    assert [r.file for r in Selection(reaches).files(mutant)] == files


def test_the_survivors_that_are_accepted_are_faults_that_can_still_be_made() -> None:
    """A reason goes with its code."""
    assert set(accepted()) <= {m.name for m in sample.everything()}
    assert all(accepted().values())


@pytest.mark.parametrize(
    ("outcome", "by", "stands"),
    [
        ("killed", "tests/bench/test_mutation.py::test_every_fault_is_python_and_another_program", True),
        ("killed", "tests/bench/test_mutation.py::test_that_is_gone[1]", False),
        ("killed", "tests/bench/test_gone.py::test_a", False),
        ("hung", None, True),
        ("survived", None, False),
    ],
)
def test_a_fault_is_tried_again_where_nothing_finds_it_any_more(outcome: str, by: str | None, stands: bool) -> None:
    """Survivors, and those whose test is gone; the others cost nothing."""
    assert report.still_stands({"outcome": outcome, "by": by}, sample.ROOT) is stands


def test_results_are_brought_up_to_date_fault_by_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was found keeps its row, a survivor gets a new one, and what is no longer drawn is left out."""
    found, survivor, new = sample.drawn(sample.everything(), 3)
    by = "tests/bench/test_mutation.py::test_every_fault_is_python_and_another_program"
    rows = [
        {"mutant": found.name, "always": "", "package": "kvwatch/core", "kind": found.kind, "outcome": "killed"}
        | {"by": by, "commit": "old"},
        {"mutant": survivor.name, "always": "", "package": "kvwatch/core", "kind": survivor.kind, "outcome": "survived"}
        | {"by": None, "commit": "old"},
        {"mutant": "gone", "outcome": "killed", "by": by, "commit": "old"},
    ]
    monkeypatch.setattr(command, "DATA", tmp_path / "mutation.json")
    monkeypatch.setattr(command, "PAGE", tmp_path / "mutation.md")
    command.DATA.write_text(json.dumps({"made": {}, "faults": rows}), encoding="utf-8")
    asked: list[str] = []

    def answers(jobs: list[Job], _processes: int) -> Iterator[tuple[Job, dict[str, object], float]]:
        for job in jobs:
            asked.append(job.name)
            yield job, {"outcome": "killed", "by": by, "cut": False}, 1.0

    monkeypatch.setattr(trial, "run_all", answers)
    result = command.again([("", m) for m in (found, survivor, new)], 1)
    assert asked == [new.name, survivor.name]
    assert [row["mutant"] for row in result] == [found.name, survivor.name, new.name]
    assert result[0]["commit"] == "old"
    assert {row["outcome"] for row in json.loads(command.DATA.read_text(encoding="utf-8"))["faults"]} == {"killed"}


def _tests(folder: Path, *bodies: str) -> list[str]:
    """A test file of each body, below a folder."""
    paths = [folder / f"test_{number}.py" for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_text(body, encoding="utf-8")
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    ("most_seconds", "expected"),
    [
        (math.inf, {"outcome": "killed", "by": "second", "cut": False}),
        (0.0, {"outcome": "survived", "by": None, "cut": True}),
    ],
)
def test_no_test_begins_when_the_time_of_a_fault_is_over(
    most_seconds: float, expected: dict[str, object], tmp_path: Path
) -> None:
    """What it had no time for is not found: the fault is cut and survives, which understates what the tests find."""
    files = _tests(tmp_path, "def test_a():\n    pass\n", "def test_b():\n    raise AssertionError\n")
    trial.same_examples()
    job = Job("a fault", lambda: trial.try_mutant(None, files, most_seconds), 60.0)
    ((_, answer, _),) = trial.run_all([job], 1)
    assert answer | {"by": answer["by"] and "second"} == expected


def test_the_page_says_what_each_fault_was_given() -> None:
    """A bound of CPU belongs to the number that it made."""
    row = {"mutant": "m", "always": "", "package": "kvwatch/core", "kind": "term", "by": None, "commit": "c"}
    rows = [row | {"outcome": "survived", "cut": True}, row | {"outcome": "killed", "cut": False}]
    made = {"date": "2026-01-01", "commit": "c"}
    assert "given 45 s of CPU at least" in report.page(made, rows, {}, 45.0)
    assert "1 were not found within" in report.page(made, rows, {}, 45.0)
    assert "of CPU" not in report.page(made, rows, {}, None)


def test_where_no_reach_is_measured_the_tests_nearest_to_a_fault_come_first() -> None:
    """What found it last, the module's own, those that import it, its package."""
    mutant = next(m for m in sample.everything() if m.path.endswith("traffic/standing_queue.py"))
    last = "tests/core/test_hung.py::test_a"
    first, *files = reach.likeliest(mutant, last)
    assert first == last
    assert files[0] == "tests/core/traffic/test_standing_queue.py"
    importing = [f for f in files if "kvwatch.core.traffic.standing_queue" in (sample.ROOT / f).read_text("utf-8")]
    assert files[: len(importing)] == importing
    assert sorted(files) == sorted(reach.test_files())
