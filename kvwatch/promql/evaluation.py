"""PromQL over stored series, evaluated for all evaluation times at once.

The syntax tree is promql-parser's. What is not needed by rules is not there and is refused by name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import promql_parser as ast

from kvwatch.promql.functions import EACH, OVER_TIME, each, histogram_quantile, over_time, quantile_over_time
from kvwatch.promql.labels import NAME, Array, Labels, Mask, UnsupportedError, only, without
from kvwatch.promql.matching import Matching, combine
from kvwatch.promql.series import Column, Database, Matcher, Vector, Window, merged, window

Value = Vector | Array
Node = Any
"""A node of the tree; promql-parser gives no types for them."""
_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def evaluate(expression: str, database: Database, times: Array, interval: float = 15.0) -> Value:
    """Value of an expression at each time: columns of an instant vector, or a scalar for each time.

    Args:
        expression: PromQL.
        database: The stored series.
        times: Evaluation times in rising order [s].
        interval: Step of subqueries that name none [s].

    Raises:
        UnsupportedError: It uses something that no rule has needed yet.
        ValueError: Prometheus would fail the evaluation too, or it is no PromQL.
    """
    return _Evaluation(database, interval).of(parsed(expression), times)


@lru_cache(maxsize=4096)
def parsed(expression: str) -> Node:
    """The tree of an expression. Raises ValueError where it is no PromQL."""
    return ast.parse(expression)


class _Evaluation:
    def __init__(self, database: Database, interval: float) -> None:
        self._database = database
        self._interval = interval

    def of(self, node: Node, times: Array) -> Value:  # noqa: PLR0911 (one for each kind of node)
        """Value of a node of the tree."""
        match kind_of(node):
            case "NumberLiteral":
                return np.full(len(times), node.val)
            case "ParenExpr":
                return self.of(node.expr, times)
            case "UnaryExpr":
                return combine("*", self.of(node.expr, times), np.full(len(times), -1.0), Matching())
            case "VectorSelector":
                name, matchers, at = self._selector(node, times)
                return self._database.instant(name, matchers, at)
            case "BinaryExpr":
                left, right = self.of(node.lhs, times), self.of(node.rhs, times)
                return combine(str(node.op).removesuffix(" bool"), left, right, _matching(node.modifier))
            case "AggregateExpr":
                return self._aggregate(node, times)
            case "Call":
                return self._call(node, times)
        raise UnsupportedError(kind_of(node))

    def _selector(self, node: Node, times: Array) -> tuple[str, list[Matcher], Array]:
        if node.at is not None or node.matchers.or_matchers:
            raise UnsupportedError("@ and or between matchers")
        matchers = [(m.name, _OPERATORS[str(m.op).rpartition(".")[2]], m.value) for m in node.matchers.matchers]
        named = [m for m in matchers if m[0] == NAME]
        if not node.name and not named:
            raise UnsupportedError("a selector without a name")
        return node.name or named[0][2], matchers, times - offset_seconds(node.offset)

    def _windows(self, node: Node, times: Array) -> list[Window]:
        if kind_of(node) == "MatrixSelector":
            name, matchers, at = self._selector(node.vector_selector, times)
            return self._database.window(name, matchers, at, node.range.total_seconds())
        if kind_of(node) != "SubqueryExpr" or node.at is not None:
            raise UnsupportedError(kind_of(node))
        at, seconds = times - offset_seconds(node.offset), node.range.total_seconds()
        step = node.step.total_seconds() if node.step is not None else self._interval
        grid = np.arange(np.ceil((at[0] - seconds) / step), at[-1] / step + 1e-9) * step
        inner = self.of(node.expr, grid)
        if not isinstance(inner, list):
            raise UnsupportedError("a subquery of a scalar")
        return [window(c.labels, grid[c.there], c.values[c.there], at, seconds) for c in inner]

    def _aggregate(self, node: Node, times: Array) -> Vector:
        vector = self._vector(node.expr, times)
        modifier = node.modifier
        groups: dict[Labels, list[Column]] = defaultdict(list)
        for c in vector:
            if modifier is None:
                key: Labels = ()
            elif "By" in str(modifier.type):
                key = only(c.labels, modifier.labels)
            else:
                key = without(c.labels, NAME, *modifier.labels)
            groups[key].append(c)
        if str(node.op) not in _AGGREGATES:
            raise UnsupportedError(f"{node.op}()")
        reduce = _AGGREGATES[str(node.op)]
        result = []
        for labels, columns in groups.items():
            there = np.array([c.there for c in columns])
            values = reduce(np.array([c.values for c in columns]), there)
            result.append(Column(labels, values, np.asarray(there.any(axis=0))))
        return result

    def _vector(self, node: Node, times: Array) -> Vector:
        value = self.of(node, times)
        if not isinstance(value, list):
            raise ValueError("expected an instant vector")  # noqa: TRY004 (Prometheus' words for a bad expression)
        return value

    def _call(self, node: Node, times: Array) -> Value:  # noqa: PLR0911
        name, arguments = node.func.name, list(node.args)
        if name in OVER_TIME:
            return over_time(name, self._windows(arguments[0], times))
        if name in EACH:
            scalars = [self._scalar(a, times) for a in arguments[1:]]
            return each(name, self._vector(arguments[0], times), *scalars)
        match name:
            case "quantile_over_time":
                return quantile_over_time(self._scalar(arguments[0], times), self._windows(arguments[1], times))
            case "histogram_quantile":
                return histogram_quantile(self._scalar(arguments[0], times), self._vector(arguments[1], times))
            case "absent":
                return self._absent(arguments[0], times)
            case "vector":
                return [Column((), self._scalar(arguments[0], times), np.ones(len(times), dtype=bool))]
            case "scalar":
                vector = self._vector(arguments[0], times)
                single = sum((c.there.astype(int) for c in vector), np.zeros(len(times), dtype=int)) == 1
                total = sum((np.where(c.there, c.values, 0.0) for c in vector), np.zeros(len(times)))
                return np.where(single, total, np.nan)
            case "time":
                return times
            case "label_replace":
                return _label_replace(self._vector(arguments[0], times), *(a.val for a in arguments[1:]))
        raise UnsupportedError(f"{name}()")

    def _scalar(self, node: Node, times: Array) -> Array:
        value = self.of(node, times)
        if isinstance(value, list):
            raise ValueError("expected a scalar")  # noqa: TRY004
        return value

    def _absent(self, node: Node, times: Array) -> Vector:
        present = np.zeros(len(times), dtype=bool)
        for c in self._vector(node, times):
            present |= c.there
        labels: Labels = ()
        if kind_of(node) == "VectorSelector":
            equal = [(m.name, m.value) for m in node.matchers.matchers if str(m.op).endswith("Equal") and m.value]
            labels = tuple(sorted((k, v) for k, v in equal if k != NAME and "Not" not in v))
        return merged([Column(labels, np.ones(len(times)), ~present)])


def kind_of(node: Node) -> str:
    """Name of a node's class."""
    return type(node).__name__


def offset_seconds(offset: Node) -> float:
    """An offset as a number [s]; 0 without one."""
    return 0.0 if offset is None else float(offset.total_seconds())


def _matching(modifier: Node) -> Matching:
    if modifier is None:
        return Matching()
    found = modifier.matching
    card = str(modifier.card).rpartition(".")[2]
    return Matching(
        on=found is not None and "Include" in str(found.type),
        labels=tuple(found.labels) if found is not None else (),
        many={"ManyToOne": "left", "OneToMany": "right"}.get(card, ""),
        include=tuple(modifier.group_labels or ()),
        returns_bool=modifier.return_bool,
    )


def _reduce(reduce: Callable[..., Array], missing: float) -> Callable[[Array, Mask], Array]:
    return lambda values, there: reduce(np.where(there, values, missing), axis=0)


def _average(values: Array, there: Mask) -> Array:
    return np.asarray(np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1))


_AGGREGATES: dict[str, Callable[[Array, Mask], Array]] = {
    "sum": _reduce(np.sum, 0.0),
    "avg": _average,
    "min": _reduce(np.min, np.inf),
    "max": _reduce(np.max, -np.inf),
    "count": lambda _, there: there.sum(axis=0).astype(float),
    "group": lambda _, there: np.ones(there.shape[1]),
}


def _label_replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    result = []
    for c in vector:
        found = re.fullmatch(pattern, dict(c.labels).get(source, ""))
        if found is not None:
            value = found.expand(re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", replacement))
            labels = {**dict(c.labels), target: value}
            result.append(Column(tuple(sorted((k, v) for k, v in labels.items() if v)), c.values, c.there))
        else:
            result.append(c)
    return merged(result)
