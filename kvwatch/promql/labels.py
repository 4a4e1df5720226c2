"""Labels of a series in Prometheus, its metric's name among them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = tuple[tuple[str, str], ...]
"""Names and values in the order of the names; the metric's name is ``__name__``."""
NAME = "__name__"


class UnsupportedError(ValueError):
    """An expression uses what no rule has needed yet; the message names it."""


def labels_of(name: str, **labels: str) -> Labels:
    """A series' labels, its metric's name among them."""
    return tuple(sorted({NAME: name, **labels}.items()))


def without(labels: Labels, *names: str) -> Labels:
    """Labels but for some."""
    return tuple((k, v) for k, v in labels if k not in names)


def only(labels: Labels, names: Iterable[str]) -> Labels:
    """Some of the labels."""
    kept = set(names)
    return tuple((k, v) for k, v in labels if k in kept)
