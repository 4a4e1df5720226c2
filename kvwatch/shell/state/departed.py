"""What is kept of targets that are not watched now, so that one that comes back does not begin anew.

Bounded, because pods come and go for ever under new names: by the time since a target was last watched, by number and
by size. Exempt are as many as have been watched at once, for an hour: a fleet that is out of sight together, since a
source of targets fails or all are rolled out anew, comes back together. What the state file held of targets that were
watched when it was written is exempt for the first minutes, until discovery has found them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

KEEP_SECONDS = 7 * 86400.0
"""How long a target's state is kept after it was last watched: over a weekend at 0 replicas."""
MOST_TARGETS = 1000
MOST_BYTES = 8 << 20
"""Of what engines have learnt [bytes]. Choice: that of 1,200 engines, 7 kB each."""
OUTAGE_SECONDS = 3600.0
"""For so long a whole fleet may be out of sight."""
FIND_SECONDS = 900.0
"""Within this time of a start every target that is still there has been found."""


@dataclass(frozen=True, slots=True)
class Departed:
    """What is kept of one target."""

    seen: float
    """When it was last watched [unix s]."""
    engines: bytes = b""
    """The engines' states as JSON; empty for none."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """Its settings and counters as the checkpoint has them, by part."""


class DepartedTargets:
    """Those that are kept, the one that left last at the end."""

    def __init__(self) -> None:
        self._kept: dict[str, Departed] = {}
        self._expected: dict[str, Departed] = {}
        self._started = float("inf")
        self._size = 0
        """Of what is in ``_kept`` [bytes]."""
        self._most_watched = 0
        """How many targets have been watched at once, in this process or the one before."""

    def load(
        self, engines: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Any], now: float
    ) -> None:
        """Take what a state file holds, read at ``now``; targets without a time were watched when it was written."""
        self._started = now
        for name in dict.fromkeys([*engines, *(name for part in parts.values() for name in part)]):
            at = _time(seen.get(name), now)
            own = {key: part[name] for key, part in parts.items() if name in part}
            states = orjson.dumps(engines[name]) if name in engines else b""
            if at is not None:
                self._kept[name] = Departed(at, states, own)
            else:
                self._expected[name] = Departed(now, states, own)
        self._most_watched = len(self._expected)
        self._sort()

    def take(self, target: str) -> Departed | None:
        """Give back what is kept of a target that is watched again, and keep it no longer."""
        left = self._kept.pop(target, None)
        self._size -= len(left.engines) if left is not None else 0
        return self._expected.pop(target, None) or left

    def put(self, target: str, left: Departed, watched: int = 1) -> list[str]:
        """Keep what is known of a target that is watched no longer; which others had to go for it.

        ``watched``: how many targets were watched before, with this one.
        """
        self.take(target)
        self._most_watched = max(self._most_watched, watched)
        self._kept[target] = left
        self._size += len(left.engines)
        return self.expire(left.seen)

    def expire(self, now: float) -> list[str]:
        """Forget what was left too long ago, and the longest gone of too many; their names."""
        if self._expected and now - self._started >= FIND_SECONDS:
            self._kept |= self._expected
            self._expected = {}
            self._sort()
        gone = []
        while self._kept:
            name, left = next(iter(self._kept.items()))
            fits = len(self._kept) <= MOST_TARGETS and self._size <= MOST_BYTES
            together = now - left.seen <= OUTAGE_SECONDS and len(self._kept) <= self._most_watched
            if now - left.seen <= KEEP_SECONDS and (fits or together):
                break
            gone.append(name)
            self.take(name)
        return gone

    def _sort(self) -> None:
        self._kept = dict(sorted(self._kept.items(), key=lambda item: item[1].seen))
        self._size = sum(len(left.engines) for left in self._kept.values())

    def engines(self) -> dict[str, Any]:
        """The engines' states for a checkpoint, by target."""
        return {name: orjson.Fragment(left.engines) for name, left in self._all() if left.engines}

    def part(self, key: str) -> dict[str, Any]:
        """A part of a checkpoint, by target."""
        return {name: left.parts[key] for name, left in self._all() if key in left.parts}

    def seen(self) -> dict[str, float]:
        """When the targets were last watched that are to be forgotten some day."""
        return {name: left.seen for name, left in self._kept.items()}

    def _all(self) -> list[tuple[str, Departed]]:
        return [*self._expected.items(), *self._kept.items()]


def _time(found: object, now: float) -> float | None:
    """A time as it was saved; ``None`` for what cannot be one, or lies ahead."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= now:
        return None
    return float(found)
