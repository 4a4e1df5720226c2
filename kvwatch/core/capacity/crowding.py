"""Whether an engine with all its seats taken serves less than with fewer, although memory has room."""

from __future__ import annotations

from collections.abc import Iterable

from kvwatch.core.interval import FULL_RATIO
from kvwatch.facts import Settings
from kvwatch.stats.level_rates import Fall, Level, fall

_NEAR_SEATS_RATIO = 0.75
"""Sequences of the highest level over max_num_seqs from which on it speaks of a full engine [1]. Choice: a level spans
a factor of 1.4, and of the seats some hold requests whose prompts are being computed."""


def crowding(levels: Iterable[Level], settings: Settings, kv_tokens: float | None) -> Fall | None:
    """What fewer seats were seen to serve more; ``None`` where they did not, or the full engine was not seen.

    Where memory is full it is evictions that cost, which the embedded engine knows.
    """
    if settings.max_num_seqs is None or kv_tokens is None:
        return None
    found = fall(levels)
    if found is None or found.highest.sequences < _NEAR_SEATS_RATIO * settings.max_num_seqs:
        return None
    return found if found.highest.resident_tokens < FULL_RATIO * kv_tokens else None
