"""Which test files execute which lines of the packages, and what each file costs."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.mutation.mutants import Mutant, nested_in
from bench.mutation.sample import PACKAGES, ROOT, sources

SUITES = ("tests/stats", "tests/queueing", "tests/core", "tests/bench/test_accuracy_recordings.py")
"""The fast tests that are about the packages. Others reach them too, so the kill rate is a lower bound."""
_LEFT_OUT = "test_memory.py"
"""A hundred thousand observations for each fault find hardly any that the other tests do not."""
CACHE = ROOT / ".cache" / "mutation"


@dataclass(frozen=True, slots=True)
class Reach:
    """Lines that a test file executes, by module, and the CPU time that it takes under coverage [s]."""

    file: str
    cpu_seconds: float
    lines: dict[str, frozenset[int]]


def test_files() -> list[str]:
    """All test files of the suites, below the root."""
    paths = [ROOT / suite for suite in SUITES]
    files = [p for path in paths for p in (path.rglob("test_*.py") if path.is_dir() else [path])]
    return sorted(p.relative_to(ROOT).as_posix() for p in files if p.exists() and p.name != _LEFT_OUT)


def likeliest(mutant: Mutant, last: str | None) -> list[str]:
    """All test files, where it is not measured which reach a fault: what found it last, then those nearest to it.

    Near is a file of the module's name, then one that imports it, then one of its package; of those alike one that
    has the name of the function or constant, then the shortest.
    """
    module = Path(mutant.path)
    package = f"tests/{module.parent.relative_to('kvwatch').as_posix()}/"
    imported = mutant.path.removesuffix(".py").replace("/", ".")
    names = re.compile(rf"\b(?:{'|'.join(map(re.escape, mutant.place.scope.split('.')))})\b")
    own = [last] if last and (ROOT / last.split("::")[0]).exists() else []

    def far(file: str) -> tuple[bool, bool, bool, bool, int]:
        text = _text(file)
        own_name, imports = Path(file).name == f"test_{module.stem}.py", imported in text
        named = bool(names.search(text))
        return not own_name, not imports, not file.startswith(package), not named, len(text)

    return [*own, *sorted((f for f in test_files() if f not in own), key=far)]


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@cache
def _shared() -> str:
    """Names the state of all that every test file depends on: kvwatch, and the tests' own helpers."""
    digest = hashlib.sha256()
    for folder in ("kvwatch", "tests", "bench/accuracy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.startswith("test_"):
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def cached(file: str) -> Path:
    """Where a file's reach lies, for one state of the sources."""
    key = hashlib.sha256(_shared().encode() + file.encode() + (ROOT / file).read_bytes()).hexdigest()[:20]
    return CACHE / f"{key}.json"


def load(path: Path) -> Reach:
    """A reach that is on disk."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Reach(data["file"], data["cpu_seconds"], {m: frozenset(lines) for m, lines in data["lines"].items()})


def save(reach: Reach, path: Path) -> None:
    """Put a reach on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = {module: sorted(found) for module, found in reach.lines.items()}
    text = json.dumps({"file": reach.file, "cpu_seconds": reach.cpu_seconds, "lines": lines})
    path.write_text(text, encoding="utf-8")


class Selection:
    """The test files that may find a fault, those first that are likely to at little cost."""

    def __init__(self, reaches: Iterable[Reach]) -> None:
        self._reaches = list(reaches)
        self._trees = {path: ast.parse(source) for path, source in sources()}

    def files(self, mutant: Mutant) -> list[Reach]:
        """Files that execute the fault, or what uses it; of the module's own name first, then the quickest."""
        places = self._places(mutant)
        found = [r for r in self._reaches if any(r.lines.get(path, frozenset()) & lines for path, lines in places)]
        own = f"test_{Path(mutant.path).stem}.py"
        return sorted(found, key=lambda r: (not r.file.endswith(own), r.cpu_seconds))

    def _places(self, mutant: Mutant) -> list[tuple[str, frozenset[int]]]:
        """Lines in functions that the fault has a part in."""
        if mutant.place.in_function:
            return [(mutant.path, frozenset(range(mutant.place.lines[0], mutant.place.lines[1] + 1)))]
        names = set(mutant.place.scope.replace(".", ",").split(","))
        used = [(path, _uses(tree, names)) for path, tree in self._trees.items()]
        if any(lines for _, lines in used):
            return used
        return [(mutant.path, _function_lines(self._trees[mutant.path]))]


def _uses(tree: ast.Module, names: set[str]) -> frozenset[int]:
    """Lines in functions that read one of the names, or a constant that is made of one."""
    names = set(names)
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _reads(statement, names):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    lines: set[int] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            if any(_reads(d, names) for d in (*function.args.defaults, *filter(None, function.args.kw_defaults))):
                lines |= _body_lines(function)
            for statement in ast.walk(function):
                if isinstance(statement, ast.stmt) and statement is not function:
                    lines |= _lines_that_read(statement, names)
    return frozenset(lines)


def _lines_that_read(statement: ast.stmt, names: set[str]) -> set[int]:
    """Lines of a statement, without those nested in it, if it reads one of the names."""
    nested = nested_in(statement)
    inner = {id(n) for s in nested for n in ast.walk(s)}
    if not any(_reads(n, names) for n in ast.iter_child_nodes(statement) if id(n) not in inner):
        return set()
    last = max(statement.lineno, nested[0].lineno - 1) if nested else statement.end_lineno or statement.lineno
    return set(range(statement.lineno, last + 1))


def _reads(node: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in names)
        or (isinstance(n, ast.Attribute) and n.attr in names)
        for n in ast.walk(node)
    )


def _function_lines(tree: ast.Module) -> frozenset[int]:
    return frozenset(line for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for line in _body_lines(node))


def _body_lines(function: ast.FunctionDef) -> set[int]:
    return set(range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1))


def measured_lines(data: object) -> dict[str, frozenset[int]]:
    """Lines within the packages' functions, of what coverage saw."""
    measured = {}
    for path, source in sources():
        lines = getattr(data, "lines")(str(ROOT / path))  # noqa: B009
        inside = _function_lines(ast.parse(source))
        if lines:
            measured[path] = frozenset(lines) & inside
    return measured


INCLUDED = [f"{ROOT}/{package}/*" for package in PACKAGES]
