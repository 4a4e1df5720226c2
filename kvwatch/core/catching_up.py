"""Rises that are of more than their interval: of a counter that stood while others moved, and now goes on.

Something that passes a page on may show one metric as it was, as 0 or as no number for a while, and then as it is. What
it has risen by is then shown in a single interval, and a step of that interval would hold several times as many
sequences as it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kvwatch.core.interval import Interval

_WITH = {
    "inter_tokens": ("inter_tokens", "inter_token_seconds"),
    "prompt_tokens": ("prompt_tokens", "prompt_tokens_computed"),
}
"""Fields of an interval that stand and go on together."""


class CatchingUp:
    """Follows the intervals of one engine."""

    def __init__(self) -> None:
        self._stood: tuple[str, ...] = ()

    def begin_anew(self) -> None:
        """No interval goes before the next one."""
        self._stood = ()

    def update(self, interval: Interval) -> Interval:
        """The interval without what stood in the one before it."""
        stood, self._stood = self._stood, tuple(_standing(interval))
        gone: dict[str, Any] = {field: None for name in stood for field in _WITH.get(name, (name,))}
        return replace(interval, **gone) if gone else interval


def _standing(interval: Interval) -> Iterator[str]:
    """Counters that have not risen, although others show that what they count has happened."""
    decoded = (interval.generation_tokens or 0.0) - (interval.first_tokens or 0.0)
    if not interval.inter_tokens and decoded > 0:
        yield "inter_tokens"
    if not interval.generation_tokens and interval.inter_tokens:
        yield "generation_tokens"
    if not interval.steps and (interval.generation_tokens or interval.inter_tokens):
        yield "steps"
    if not interval.prompt_tokens and interval.first_tokens:
        yield "prompt_tokens"
