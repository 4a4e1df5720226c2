"""Binary operators between scalars and instant vectors, with Prometheus' rules for which elements belong together.

Source: Prometheus' documentation, "Operators", and for what happens to labels its promql/engine.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kvwatch.promql.labels import NAME, Array, Labels, Mask, only, without
from kvwatch.promql.series import Column, Vector, merged

ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod, "^": np.power,
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Array, Array], Mask]] = {
    "==": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Matching:
    """How the elements of two vectors find each other; ``many`` is the side of which several may match one."""

    on: bool = False
    labels: tuple[str, ...] = ()
    many: str = ""
    include: tuple[str, ...] = ()
    returns_bool: bool = False

    def signature(self, labels: Labels) -> Labels:
        """What has to be equal on both sides."""
        return only(labels, self.labels) if self.on else without(labels, NAME, *self.labels)


def combine(operator: str, left: Vector | Array, right: Vector | Array, matching: Matching) -> Vector | Array:
    """Apply an operator."""
    with np.errstate(all="ignore"):
        if isinstance(left, list):
            if not isinstance(right, list):
                return [c for c in (_scalar(operator, c, c.values, right, matching) for c in left) if c.there.any()]
            if operator in {"and", "or", "unless"}:
                return _set(operator, left, right, matching)
            return _vectors(operator, left, right, matching)
        if isinstance(right, list):
            return [c for c in (_scalar(operator, c, left, c.values, matching) for c in right) if c.there.any()]
        if operator in COMPARISONS:
            return COMPARISONS[operator](left, right).astype(float)
        return ARITHMETIC[operator](left, right)


def _scalar(operator: str, column: Column, left: Array, right: Array, matching: Matching) -> Column:
    if operator in ARITHMETIC:
        return Column(without(column.labels, NAME), ARITHMETIC[operator](left, right), column.there)
    holds = COMPARISONS[operator](left, right)
    if matching.returns_bool:
        return Column(without(column.labels, NAME), holds.astype(float), column.there)
    return Column(column.labels, column.values, column.there & holds)


def _set(operator: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    if operator == "or":
        present = _presence(left, matching)
        added = [Column(c.labels, c.values, _minus(c.there, present.get(matching.signature(c.labels)))) for c in right]
        return merged([*left, *added])
    present = _presence(right, matching)
    result = []
    for c in left:
        other = present.get(matching.signature(c.labels))
        if operator == "unless":
            result.append(Column(c.labels, c.values, _minus(c.there, other)))
        elif other is not None:
            result.append(Column(c.labels, c.values, c.there & other))
    return [c for c in result if c.there.any()]


def _minus(there: Mask, other: Mask | None) -> Mask:
    return there if other is None else there & ~other


def _presence(vector: Vector, matching: Matching) -> dict[Labels, Mask]:
    present: dict[Labels, Mask] = {}
    for c in vector:
        key = matching.signature(c.labels)
        present[key] = present[key] | c.there if key in present else c.there
    return present


def _vectors(operator: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    by_key: dict[Labels, list[Column]] = defaultdict(list)
    one = left if matching.many == "right" else right
    for c in one:
        by_key[matching.signature(c.labels)].append(c)
    for key, columns in by_key.items():
        if (np.sum([c.there for c in columns], axis=0) > 1).any():
            raise ValueError(f"several elements match on the side of one: {dict(key)}")
    result = []
    for many in right if matching.many == "right" else left:
        for single in by_key.get(matching.signature(many.labels), []):
            there = many.there & single.there
            if not there.any():
                continue
            a, b = (single, many) if matching.many == "right" else (many, single)
            labels = _labels(operator, many.labels, single.labels, matching)
            if operator in ARITHMETIC:
                result.append(Column(labels, ARITHMETIC[operator](a.values, b.values), there))
                continue
            holds = COMPARISONS[operator](a.values, b.values)
            if matching.returns_bool:
                result.append(Column(without(labels, NAME), holds.astype(float), there))
            else:
                result.append(Column(labels, a.values, there & holds))
    return merged(result)


def _labels(operator: str, many: Labels, single: Labels, matching: Matching) -> Labels:
    labels = without(many, NAME) if operator in ARITHMETIC else many
    if not matching.many:
        return only(labels, matching.labels) if matching.on else without(labels, *matching.labels)
    given = dict(labels)
    for name in matching.include:
        given.pop(name, None)
        if dict(single).get(name):
            given[name] = dict(single)[name]
    return tuple(sorted(given.items()))
