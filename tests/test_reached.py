"""Nothing stands in kvwatch that kvwatch does not use: what only tests or benches need is beside them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kvwatch"
STARTED_BY_NAME = {"__main__", "cli"}
"""Modules that nothing imports: the program itself, and commands, which are imported when they are called."""
SEEN_FROM_OUTSIDE = {
    "BY_NAME": "the catalogue's index, for whoever reads metrics by name",
    "used_blocks": "what the embedded scheduler holds, which tests compare with a real one's",
    "period_steps": "what the theory says of a wave's period, which tests hold against the discrete engine",
    "probability_of": "how the law weighs its hypotheses, for whoever asks why a law is what it is",
    "experts_probability": "the same of experts",
    "multiprocess": "whether several API servers share an exposition, by which the tests of versions know them",
}
"""Names that only tests and benches read, and why they stand where they do."""
SHOWN_BY_NAME = {"EngineView", "ModelView", "TargetView", "FleetView"}
"""Their fields are read by the names that the catalogue has."""


@cache
def modules() -> dict[str, ast.Module]:
    """All of kvwatch, by dotted name."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): ast.parse(p.read_text("utf-8")) for p in paths}


@cache
def used() -> Counter[str]:
    """How often each name is read: as a name, an attribute, a keyword of a decorator's, or a word in a string."""
    found: Counter[str] = Counter()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                found[node.id if isinstance(node, ast.Name) else node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found[node.value] += 1
    return found


def imported() -> set[str]:
    """Every module that another one imports, with what it imports of it."""
    found = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return found


def defined() -> Iterator[tuple[str, str]]:
    """Functions, classes, constants, methods and fields: where, and their names."""
    for module, tree in modules().items():
        for node in tree.body:
            yield from ((module, name) for name in _names(node))
            if isinstance(node, ast.ClassDef) and node.name not in SHOWN_BY_NAME and not _is_enumeration(node):
                yield from ((f"{module}.{node.name}", name) for member in node.body for name in _names(member))


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _is_enumeration(node: ast.ClassDef) -> bool:
    return any("Enum" in ast.unparse(base) for base in node.bases)


def test_every_module_is_reached() -> None:
    """From the program or a command; a package is reached by what is in it."""
    known = imported()
    loose = [
        name
        for name in modules()
        if name not in known and not name.endswith("__init__") and name.split(".")[1] not in STARTED_BY_NAME
    ]
    assert loose == []


def test_every_name_is_read_somewhere() -> None:
    """One that is written and never read, or only read by tests, is gone, or is named above with its reason."""
    unread = {f"{where}.{name}" for where, name in defined() if not used()[name] and not name.startswith("__")}
    assert {name for name in unread if name.rpartition(".")[2] not in SEEN_FROM_OUTSIDE} == set()


def test_what_is_excepted_is_still_there_and_still_needs_to_be() -> None:
    """An exception that nothing needs any more is gone too."""
    unread = {name for _, name in defined() if not used()[name]}
    assert set(SEEN_FROM_OUTSIDE) <= unread
