"""Stretches of time in which something holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kvwatch.promql.labels import Array, Mask


@dataclass(frozen=True, slots=True, order=True)
class Spell:
    """From ``start`` up to ``end`` [unix s]: the first evaluation at which it no longer held, or the end of all."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start


def spells(times: Array, holds: Mask, step: float) -> list[Spell]:
    """The spells of one stretch of evaluations that are ``step`` seconds apart."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], holds.astype(np.int8), [0]))))
    return [Spell(float(times[a]), float(times[b - 1]) + step) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def joined(found: Iterable[Spell], gap: float = 0.0) -> list[Spell]:
    """Spells in the order of time, those that are at most ``gap`` seconds apart made one."""
    result: list[Spell] = []
    for spell in sorted(found):
        if result and spell.start - result[-1].end <= gap:
            result[-1] = Spell(result[-1].start, max(result[-1].end, spell.end))
        else:
            result.append(spell)
    return result
