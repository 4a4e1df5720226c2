"""One of several: a StateSet, in which what is has 1 and each other 0."""

from __future__ import annotations

from collections.abc import Iterable


def one_of(values: Iterable[str], chosen: str | None) -> dict[str, float]:
    """1 for the chosen value and 0 for each other; empty where none is known."""
    return {} if chosen is None else {value: float(value == chosen) for value in values}
