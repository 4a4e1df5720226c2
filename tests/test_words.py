"""What operators read is plain English: help, reasons, log lines, alerts, dashboards and documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIALECT = {
    "anew": "again, from the start",
    "so many": "too many, or how many",
    "of late": "recently",
    "told": "reported, named, given",
    "tell": "say, show, distinguish",
    "tells": "says, shows, distinguishes",
    "mend": "fix, correct",
    "mends": "fixes, corrects",
    "mended": "fixed, corrected",
    "at a stroke": "at once",
}
"""Words that are this house's own, or of another century, and what to write instead."""
FOUND = re.compile(rf"(?<![-\w])(?:{'|'.join(DIALECT)})(?![-\w])", re.IGNORECASE)
DOCUMENTS = ("*.md", "docs/**/*.md", "helm/kvwatch/*.md", "helm/kvwatch/values.yaml", "compose/**/*.y*ml", "*.yaml")
DEVELOPERS = {"ARCHITECTURE.md", "CONTRIBUTING.md"}
"""Documents that nobody reads who only runs it."""
CODE = ("kvwatch", "alerts", "dashboards")
CALLED_AT_NIGHT = ("docs/runbooks/*.md", "kvwatch/estimate.py", "kvwatch/export/narration.py")
GREEK_FIRST = re.compile(r"(?:^|[.!?] |\n)[βδλμρσ]\b(?! [≥>=])", re.MULTILINE)


@cache
def documents() -> tuple[Path, ...]:
    """What is read as it lies in the repository."""
    found = {path for pattern in DOCUMENTS for path in ROOT.glob(pattern)}
    return tuple(sorted(path for path in found if path.name not in DEVELOPERS))


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Strings of a module that may be shown to somebody, with their lines: what has a space and is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]  # type: ignore[attr-defined]
    notes = {id(statement.value) for block in blocks for statement in block if isinstance(statement, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in notes
            and " " in node.value
        ):
            yield node.lineno, node.value


def shown(path: Path) -> Iterator[tuple[int, str]]:
    """What a file shows, with the lines where it stands."""
    if path.suffix == ".py":
        yield from sentences(path)
    else:
        yield from enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def faults(path: Path, pattern: re.Pattern[str]) -> list[str]:
    """Places in a file that match, as path, line and what stands there."""
    where = path.relative_to(ROOT)
    return [f"{where}:{line}: {match[0]!r}" for line, text in shown(path) for match in pattern.finditer(text)]


def test_documents_have_no_private_dialect() -> None:
    """Neither those that are written by hand nor those that are made from the code."""
    assert len(documents()) > 20
    assert [fault for path in documents() for fault in faults(path, FOUND)] == []


@pytest.mark.parametrize("package", CODE)
def test_messages_have_no_private_dialect(package: str) -> None:
    """Help, reasons, log lines, alerts and panels."""
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    assert [fault for path in modules for fault in faults(path, FOUND)] == []


@pytest.mark.parametrize("pattern", CALLED_AT_NIGHT)
def test_no_sentence_for_people_on_call_begins_with_a_greek_letter(pattern: str) -> None:
    """The word comes first, the letter of the formula after it."""
    paths = sorted(ROOT.glob(pattern))
    assert paths
    assert [fault for path in paths for fault in faults(path, GREEK_FIRST)] == []
