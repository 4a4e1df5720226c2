"""The faults that can be put into one source file, each a piece of text to put in place of another."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

CONSTANT, COMPARISON, TERM, CONDITION, STATEMENT, RETURN = (
    "constant", "comparison", "term", "condition", "statement", "return"
)  # fmt: skip

_BOUNDARY = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OPPOSITE = {
    ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_ONE_OF = {"min", "max", "hypot"}
"""Functions of several terms, each of which may be the one that counts."""
_RETURNS = {"None": "", "float": "0.0", "int": "0", "bool": "False"}
"""What a function returns that gives up at once, by its annotation; ``X | None`` returns None."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: the bytes from ``start`` to ``end`` of a file replaced.

    ``scope`` is the qualified name of the function or constant, ``lines`` the first and last line of the statement,
    ``in_function`` whether it is executed by calls, and not by the import.
    """

    path: str
    scope: str
    kind: str
    before: str
    after: str
    start: int
    end: int
    text: str
    lines: tuple[int, int]
    in_function: bool
    ordinal: int = 0

    @property
    def site(self) -> str:
        """Names the place: alike faults in one scope are told apart by their order, not by line numbers."""
        return f"{self.path}::{self.scope} {self.kind} {self.before}" + (f" #{self.ordinal}" if self.ordinal else "")

    @property
    def name(self) -> str:
        """Names the fault."""
        return f"{self.site} → {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(path: str, source: bytes) -> list[Mutant]:
    """All faults of a file, in its order. Raises SyntaxError for what is no Python."""
    found = list(_Finder(path, source).walk())
    seen: Counter[str] = Counter()
    places: dict[tuple[str, int, int], int] = {}
    numbered = []
    for mutant in found:
        place = (mutant.site, mutant.start, mutant.end)
        if place not in places:
            places[place] = seen[mutant.site]
            seen[mutant.site] += 1
        numbered.append(replace(mutant, ordinal=places[place]))
    return numbered


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
        yield from self._body(ast.parse(self._source).body, "", in_function=False)

    def values(self, scope: str, name: str) -> Iterator[Mutant]:
        for inner, function in _functions(ast.parse(self._source), ""):
            if inner != scope:
                continue
            for node in ast.walk(function):
                is_it = isinstance(node, ast.Return) if name == "return" else _assigned(node) == name
                if is_it and isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
                    yield self._value(node.value, scope, in_function=True)
        for statement in ast.parse(self._source).body if not name else ():
            if _assigned(statement) == scope and isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value:
                yield self._value(statement.value, scope, in_function=False)

    def _value(self, node: ast.expr, scope: str, *, in_function: bool) -> Mutant:
        lines = (node.lineno, node.end_lineno or node.lineno)
        return self._replaced(node, scope, TERM, "", self._text(node), lines, in_function=in_function)

    def _body(self, body: list[ast.stmt], scope: str, *, in_function: bool) -> Iterator[Mutant]:
        for statement in body:
            yield from self._statement(statement, scope, in_function=in_function)

    def _statement(self, node: ast.stmt, scope: str, *, in_function: bool) -> Iterator[Mutant]:
        if isinstance(node, ast.FunctionDef):
            inner = f"{scope}.{node.name}" if scope else node.name
            yield from self._given_up(node, inner)
            yield from self._body(node.body, inner, in_function=True)
            for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
                yield from self._expression(default, inner, (default.lineno, default.lineno), in_function=False)
            return
        if isinstance(node, ast.ClassDef):
            yield from self._body(node.body, f"{scope}.{node.name}" if scope else node.name, in_function=False)
            return
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Pass)) or _is_docstring(node):
            return
        if not in_function:
            scope = ".".join(filter(None, (scope, _assigned(node))))
        nested = [s for field in ("body", "orelse", "finalbody") for s in getattr(node, field, [])]
        nested += [s for handler in getattr(node, "handlers", []) for s in handler.body]
        last = max(node.lineno, nested[0].lineno - 1) if nested else node.end_lineno or node.lineno
        lines = (node.lineno, last)
        # a constructor that leaves out an attribute ends in an error, not in a wrong number
        if in_function and _is_effect(node) and not scope.endswith("__init__"):
            yield self._replaced(node, scope, STATEMENT, "(nothing)", "pass", lines, in_function=True)
        if isinstance(node, ast.If) and not _is_type_checking(node):
            for value in ("True", "False"):
                yield self._replaced(node.test, scope, CONDITION, value, value, lines, in_function=in_function)
        for field, value in ast.iter_fields(node):
            if field in {"body", "orelse", "finalbody", "handlers", "annotation", "target", "targets"}:
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield from self._expression(part, scope, lines, in_function=in_function)
        yield from self._body(nested, scope, in_function=in_function)

    def _expression(self, node: ast.AST, scope: str, lines: tuple[int, int], *, in_function: bool) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.Lambda)):
            return
        if isinstance(node, ast.expr):
            for kind, after, text in _replacements(node, self._text):
                yield self._replaced(node, scope, kind, after, text, lines, in_function=in_function)
        for field, value in ast.iter_fields(node):
            for part in value if isinstance(value, list) else [value]:
                if not isinstance(part, ast.AST) or (isinstance(part, ast.keyword) and part.arg == "strict"):
                    continue
                # an index that is off ends in an error, not in a wrong number
                if field == "slice" and isinstance(part, (ast.Constant, ast.UnaryOp, ast.Slice, ast.Tuple)):
                    continue
                yield from self._expression(part, scope, lines, in_function=in_function)

    def _given_up(self, node: ast.FunctionDef, scope: str) -> Iterator[Mutant]:
        """The function that returns at once: nothing done, or nothing known."""
        body = node.body[1:] if _is_docstring(node.body[0]) else node.body
        annotation = ast.unparse(node.returns) if node.returns is not None else "None"
        value = "None" if annotation.endswith("| None") else _RETURNS.get(annotation)
        makes_values = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(node))
        if not body or value is None or makes_values or node.name == "__init__":
            return
        first = body[0]
        if isinstance(first, ast.Return) and ast.unparse(first) == f"return {value}":
            return
        at = self._starts[first.lineno - 1] + first.col_offset
        text = f"return {value}\n{' ' * first.col_offset}"
        yield Mutant(
            self._path, scope, RETURN, "", f"return {value}".strip(), at, at, text,
            (first.lineno, first.end_lineno or first.lineno), in_function=True,
        )  # fmt: skip

    def _replaced(
        self, node: ast.stmt | ast.expr, scope: str, kind: str, after: str, text: str, lines: tuple[int, int], *,
        in_function: bool,
    ) -> Mutant:  # fmt: skip
        start, end = self._span(node)
        before = " ".join(ast.unparse(node).split())
        return Mutant(self._path, scope, kind, before, after, start, end, text, lines, in_function)

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()


def _replacements(node: ast.expr, text_of: Callable[[ast.expr], str]) -> Iterator[tuple[str, str, str]]:
    """Kind, short form and text of what an expression may be replaced with."""
    if isinstance(node, ast.Constant):
        for value in _other_values(node.value):
            yield CONSTANT, repr(value), repr(value)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right, operator = text_of(node.left), text_of(node.comparators[0]), type(node.ops[0])
        for other in (_BOUNDARY.get(operator), _OPPOSITE.get(operator)):
            if other is not None:
                yield COMPARISON, other, f"({left}) {other} ({right})"
    elif isinstance(node, ast.BinOp):
        for kept in (node.left, node.right) if isinstance(node.op, (ast.Add, ast.Mult)) else (node.left,):
            yield TERM, ast.unparse(kept), f"({text_of(kept)})"
    elif isinstance(node, ast.BoolOp):
        joint = " and " if isinstance(node.op, ast.And) else " or "
        for dropped in node.values:
            rest = [v for v in node.values if v is not dropped]
            yield CONDITION, joint.join(map(ast.unparse, rest)), f"({joint.join(f'({text_of(v)})' for v in rest)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield CONDITION, ast.unparse(node.operand), f"bool({text_of(node.operand)})"
    elif isinstance(node, ast.IfExp):
        for kept in (node.body, node.orelse):
            yield CONDITION, ast.unparse(kept), f"({text_of(kept)})"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ONE_OF:
        if len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args):
            for kept in node.args:
                yield TERM, ast.unparse(kept), f"({text_of(kept)})"


def _other_values(value: object) -> list[object]:
    """0, half and twice of a number; 1 for 0; the other truth value."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [1] if value == 0 else sorted({0, value // 2, 2 * value} - {value})
    if isinstance(value, float):
        return [1.0] if value == 0 else [0.0, value / 2, 2 * value]
    return []


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
