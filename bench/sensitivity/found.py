"""The constants of a package, found in its source: what each is, where it stands and what is said of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).parents[2]
PACKAGES = ("constants.py", "stats", "queueing", "embedded", "core")
"""The parts of kvwatch that compute, as files or folders of the package."""
_INNOCENT = frozenset({0, 1, 2, 0.5, 10})
"""Numbers that need no name: nothing, one, a pair, a half, and a decade."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant at the level of a module.

    Attributes:
        module: Dotted name of its module.
        name: Its own.
        line: Where it stands.
        names: How many names its statement binds; more than one is a fault.
        value: Its expression, as written.
        plain: Whether that is made of numbers alone (in tuples, arrays and arithmetic), so that it has a unit.
        text: The docstring below it; empty without one.
    """

    module: str
    name: str
    line: int
    names: int
    value: str
    plain: bool
    text: str


@dataclass(frozen=True, slots=True)
class BareNumber:
    """A number within an expression, where a name would say what it is."""

    module: str
    function: str
    line: int
    number: str


def sources(root: Path = ROOT) -> Iterator[Path]:
    """The modules in which constants count."""
    for part in PACKAGES:
        path = root / "kvwatch" / part
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def module_of(path: Path, root: Path = ROOT) -> str:
    """Dotted name of a module."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def constants(path: Path, root: Path = ROOT) -> list[Constant]:
    """The numeric constants of a module, in order."""
    body = ast.parse(path.read_text()).body
    found = []
    for place, statement in enumerate(body):
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if value is None or not any(_is_number(node) for node in ast.walk(value)):
            continue
        names = _bound(statement)
        text = _text(body[place + 1]) if place + 1 < len(body) else ""
        found += [
            Constant(module_of(path, root), name, statement.lineno, len(names), ast.unparse(value), _plain(value), text)
            for name in names
        ]
    return found


def bare_numbers(path: Path, root: Path = ROOT) -> list[BareNumber]:
    """Numbers outside of the constants that are neither innocent, nor a place, nor an exponent."""
    tree = ast.parse(path.read_text())
    excused: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            excused.update(id(inner) for inner in ast.walk(node.slice))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            excused.update(id(inner) for inner in ast.walk(node.right))
        elif isinstance(node, ast.comprehension) and ast.unparse(node.iter).startswith("range("):
            excused.update(id(inner) for inner in ast.walk(node.iter))  # places, not quantities
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            excused.update(id(inner) for inner in ast.walk(statement))
    return [
        BareNumber(module_of(path, root), function, node.lineno, str(node.value))
        for function, node in _numbers(tree, "")
        if id(node) not in excused and _bare(_number(node))
    ]


def _numbers(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Constant]]:
    """Every number below a node, with the innermost function that holds it."""
    for child in ast.iter_child_nodes(node):
        if _is_number(child):
            yield function, child
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _numbers(child, inside)


def _bare(number: complex) -> bool:
    """Whether a number wants a name; the imaginary unit and its double do not."""
    return abs(number) not in _INNOCENT


def _is_number(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and type(node.value) in {int, float, complex}


def _number(node: ast.Constant) -> complex:
    return complex(node.value) if isinstance(node.value, int | float | complex) else 0


def _bound(statement: ast.stmt) -> list[str]:
    """The names that an assignment binds."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]  # type: ignore[attr-defined]
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _plain(value: ast.expr) -> bool:
    """Whether an expression is made of numbers alone: what it calls, too, makes numbers of numbers."""
    made = {"log", "exp", "sqrt", "range", "float", "normal_quantiles", "np.array", "np.arange"}
    calls = [ast.unparse(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(call in made for call in calls)


def _text(statement: ast.stmt) -> str:
    """The text of a statement that is only that."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
