"""What an expression asks for: the names of its metrics, and how far back it looks."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.promql.evaluation import Node, kind_of, offset_seconds, parsed
from kvwatch.promql.labels import NAME
from kvwatch.promql.series import LOOKBACK_SECONDS


def names_in(expression: str) -> frozenset[str]:
    """Names of the metrics that it selects; a selector without one gives none."""
    found = set()
    for node, _ in _nodes(parsed(expression), 0.0):
        if kind_of(node) == "VectorSelector":
            named = [m.value for m in node.matchers.matchers if m.name == NAME]
            found |= {node.name} if node.name else set(named)
    return frozenset(found)


def reach_seconds(expression: str) -> float:
    """The age of the oldest sample that its value may depend on [s]."""
    return max((reach for _, reach in _nodes(parsed(expression), 0.0)), default=0.0) + LOOKBACK_SECONDS


def _nodes(node: Node, reach: float) -> Iterator[tuple[Node, float]]:
    """All nodes of a tree, each with the ranges and offsets that it is within [s]."""
    kind = kind_of(node)
    if kind == "MatrixSelector":
        yield from _nodes(node.vector_selector, reach + node.range.total_seconds())
        return
    if kind == "SubqueryExpr":
        reach += node.range.total_seconds()
    if kind in {"SubqueryExpr", "VectorSelector"}:
        reach += abs(offset_seconds(node.offset))
    yield node, reach
    if kind == "BinaryExpr":
        yield from _nodes(node.lhs, reach)
        yield from _nodes(node.rhs, reach)
    elif kind in {"ParenExpr", "UnaryExpr", "SubqueryExpr", "AggregateExpr"}:
        yield from _nodes(node.expr, reach)
    elif kind == "Call":
        for argument in node.args:
            yield from _nodes(argument, reach)
