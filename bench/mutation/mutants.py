"""The faults that can be put into one source file, each a piece of text to put in place of another."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

CONSTANT, COMPARISON, TERM = "constant", "comparison", "term"
CONDITION, STATEMENT, RETURN = "condition", "statement", "return"

_BOUNDARY = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OPPOSITE = {
    ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_ONE_OF = {"min", "max", "hypot"}
"""Functions of several terms, each of which may be the one that counts."""
_NOTHING = {"None": "", "float": "0.0", "int": "0", "bool": "False"}
"""What a function returns that gives up at once, by its annotation; ``X | None`` returns None."""
_NESTED = ("body", "orelse", "finalbody", "handlers")
_NO_VALUES = {*_NESTED, "annotation", "target", "targets"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is: the qualified name of its function or constant, and first and last line of its statement.

    ``in_function`` says whether it is executed by calls, and not by the import.
    """

    scope: str
    lines: tuple[int, int]
    in_function: bool


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: the bytes from ``start`` to ``end`` of a file replaced by a text."""

    path: str
    place: Place
    kind: str
    before: str
    after: str
    start: int
    end: int
    text: str
    ordinal: int = 0

    @property
    def site(self) -> str:
        """Names the place: alike ones in one scope are told apart by their order, not by line numbers."""
        number = f" #{self.ordinal}" if self.ordinal else ""
        return f"{self.path}::{self.place.scope} {self.kind} {self.before}{number}"

    @property
    def name(self) -> str:
        """Names the fault."""
        return f"{self.site} → {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(path: str, source: bytes) -> list[Mutant]:
    """All faults of a file, in its order. Raises SyntaxError for what is no Python."""
    seen: Counter[str] = Counter()
    ordinals: dict[tuple[str, int, int], int] = {}
    found = list(_Finder(path, source).walk())
    for mutant in found:
        key = (mutant.site, mutant.start, mutant.end)
        if key not in ordinals:
            ordinals[key] = seen[mutant.site]
            seen[mutant.site] += 1
    return [replace(m, ordinal=ordinals[m.site, m.start, m.end]) for m in found]


def value_of(path: str, source: bytes, scope: str, name: str) -> list[Mutant]:
    """The places where a value is given to ``name`` in ``scope`` (see :class:`bench.mutation.sample.Always`).

    Each with its own value as the text to replace it with.
    """
    return list(_Finder(path, source).values(scope, name))


class _Finder:
    """Walks a syntax tree with the scope and the statement that each node is in."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path, self._source = path, source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def walk(self) -> Iterator[Mutant]:
        for statement in ast.parse(self._source).body:
            yield from self._statement(statement, "", in_function=False)

    def values(self, scope: str, name: str) -> Iterator[Mutant]:
        tree = ast.parse(self._source)
        for inner, function in _functions(tree, ""):
            for node in ast.walk(function) if inner == scope else ():
                is_it = isinstance(node, ast.Return) if name == "return" else _assigned(node) == name
                if is_it and isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
                    yield self._value(node.value, scope, in_function=True)
        for statement in () if name else tree.body:
            if _assigned(statement) == scope and isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value:
                yield self._value(statement.value, scope, in_function=False)

    def _value(self, node: ast.expr, scope: str, *, in_function: bool) -> Mutant:
        place = Place(scope, (node.lineno, node.end_lineno or node.lineno), in_function)
        return self._replaced(node, place, TERM, "", self._text(node))

    def _statement(self, node: ast.stmt, scope: str, *, in_function: bool) -> Iterator[Mutant]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from self._definition(node, f"{scope}.{node.name}" if scope else node.name)
            return
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Pass)) or _is_docstring(node):
            return
        if not in_function:
            scope = ".".join(filter(None, (scope, _assigned(node))))
        nested = nested_in(node)
        last = max(node.lineno, nested[0].lineno - 1) if nested else node.end_lineno or node.lineno
        place = Place(scope, (node.lineno, last), in_function)
        # a constructor that leaves out an attribute ends in an error, not in a wrong number
        if in_function and _is_effect(node) and not scope.endswith("__init__"):
            yield self._replaced(node, place, STATEMENT, "(nothing)", "pass")
        if isinstance(node, ast.If) and not _is_type_checking(node):
            for value in ("True", "False"):
                yield self._replaced(node.test, place, CONDITION, value, value)
        for field, value in ast.iter_fields(node):
            if field not in _NO_VALUES:
                yield from self._parts(value, place)
        for statement in nested:
            yield from self._statement(statement, scope, in_function=in_function)

    def _definition(self, node: ast.FunctionDef | ast.ClassDef, scope: str) -> Iterator[Mutant]:
        is_function = isinstance(node, ast.FunctionDef)
        if isinstance(node, ast.FunctionDef):
            yield from self._given_up(node, scope)
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                yield from self._expression(default, Place(scope, (default.lineno, default.lineno), in_function=False))
        for statement in node.body:
            yield from self._statement(statement, scope, in_function=is_function)

    def _parts(self, value: object, place: Place) -> Iterator[Mutant]:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from self._expression(part, place)

    def _expression(self, node: ast.AST, place: Place) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.Lambda)) or (isinstance(node, ast.keyword) and node.arg == "strict"):
            return
        if isinstance(node, ast.expr) and type(node) in _FAULTS:
            for kind, after, text in _FAULTS[type(node)](node, self._text):
                yield self._replaced(node, place, kind, after, text)
        for field, value in ast.iter_fields(node):
            # an index that is off ends in an error, not in a wrong number
            if field != "slice" or not isinstance(value, (ast.Constant, ast.UnaryOp, ast.Slice, ast.Tuple)):
                yield from self._parts(value, place)

    def _given_up(self, node: ast.FunctionDef, scope: str) -> Iterator[Mutant]:
        """The function that returns at once: nothing done, or nothing known."""
        body = node.body[1:] if _is_docstring(node.body[0]) else node.body
        annotation = ast.unparse(node.returns) if node.returns is not None else "None"
        value = "None" if annotation.endswith("| None") else _NOTHING.get(annotation)
        makes_values = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(node))
        if not body or value is None or makes_values or node.name == "__init__":
            return
        first = body[0]
        if isinstance(first, ast.Return) and ast.unparse(first) == f"return {value}".strip():
            return
        at = self._starts[first.lineno - 1] + first.col_offset
        after = f"return {value}".strip()
        place = Place(scope, (first.lineno, first.end_lineno or first.lineno), in_function=True)
        yield Mutant(self._path, place, RETURN, "", after, at, at, f"{after}\n{' ' * first.col_offset}")

    def _replaced(self, node: ast.stmt | ast.expr, place: Place, kind: str, after: str, text: str) -> Mutant:
        start, end = self._span(node)
        return Mutant(self._path, place, kind, " ".join(ast.unparse(node).split()), after, start, end, text)

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()


_Text = Callable[[ast.expr], str]
_Faults = Iterator[tuple[str, str, str]]
"""Kind, short form, and text to put in place of an expression."""


def _other_constant(node: ast.Constant, _: _Text) -> _Faults:
    """0, half and twice of a number; 1 for 0; the other truth value."""
    value = node.value
    others: list[object] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [1] if value == 0 else [*sorted({0, value // 2, 2 * value} - {value})]
    elif isinstance(value, float):
        others = [1.0] if value == 0 else [0.0, value / 2, 2 * value]
    for other in others:
        yield CONSTANT, repr(other), repr(other)


def _other_comparison(node: ast.Compare, text: _Text) -> _Faults:
    operator = type(node.ops[0])
    for other in (_BOUNDARY.get(operator), _OPPOSITE.get(operator)) if len(node.ops) == 1 else ():
        if other is not None:
            yield COMPARISON, other, f"({text(node.left)}) {other} ({text(node.comparators[0])})"


def _one_operand(node: ast.BinOp, text: _Text) -> _Faults:
    for kept in (node.left, node.right) if isinstance(node.op, (ast.Add, ast.Mult)) else (node.left,):
        yield TERM, ast.unparse(kept), f"({text(kept)})"


def _one_condition_less(node: ast.BoolOp, text: _Text) -> _Faults:
    joint = " and " if isinstance(node.op, ast.And) else " or "
    for dropped in node.values:
        rest = [v for v in node.values if v is not dropped]
        yield CONDITION, joint.join(map(ast.unparse, rest)), f"({joint.join(f'({text(v)})' for v in rest)})"


def _not_negated(node: ast.UnaryOp, text: _Text) -> _Faults:
    if isinstance(node.op, ast.Not):
        yield CONDITION, ast.unparse(node.operand), f"bool({text(node.operand)})"


def _one_case(node: ast.IfExp, text: _Text) -> _Faults:
    for kept in (node.body, node.orelse):
        yield CONDITION, ast.unparse(kept), f"({text(kept)})"


def _one_argument(node: ast.Call, text: _Text) -> _Faults:
    is_one_of = isinstance(node.func, ast.Name) and node.func.id in _ONE_OF
    if is_one_of and len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args):
        for kept in node.args:
            yield TERM, ast.unparse(kept), f"({text(kept)})"


_FAULTS: dict[type[ast.expr], Callable[..., _Faults]] = {
    ast.Constant: _other_constant,
    ast.Compare: _other_comparison,
    ast.BinOp: _one_operand,
    ast.BoolOp: _one_condition_less,
    ast.UnaryOp: _not_negated,
    ast.IfExp: _one_case,
    ast.Call: _one_argument,
}


def nested_in(node: ast.stmt) -> list[ast.stmt]:
    """Statements within a statement, in their order."""
    found: list[ast.stmt] = []
    for field in _NESTED:
        for part in getattr(node, field, []):
            found += part.body if isinstance(part, ast.ExceptHandler) else [part]
    return found


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_effect(node: ast.stmt) -> bool:
    """Whether a statement can be left out without a name going missing."""
    if isinstance(node, (ast.AugAssign, ast.Delete)):
        return True
    if isinstance(node, ast.Assign):
        return all(isinstance(t, (ast.Attribute, ast.Subscript)) for t in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _functions(tree: ast.AST, scope: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner = f"{scope}.{node.name}" if scope else node.name
            if isinstance(node, ast.FunctionDef):
                yield inner, node
            yield from _functions(node, inner)


def _assigned(node: ast.AST) -> str:
    """The names that a statement outside of functions gives values to."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return ",".join(name.id for t in targets if t is not None for name in ast.walk(t) if isinstance(name, ast.Name))
