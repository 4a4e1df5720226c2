"""Keeps what happens again and again from filling the log: of each event a few a minute, and how many were left out."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 10
"""Records of one kind within :data:`PERIOD_SECONDS`. Choice: a target that comes and goes shows how, and no more."""
PERIOD_SECONDS = 60.0
"""Choice: Prometheus looks at alerts as often."""
MOST_KINDS = 10_000
"""Kinds that are remembered, 200 bytes each. Choice: two for each of the most targets that can be watched."""
_TOLD_APART_BY = ("target", "source", "path", "fault")
"""Fields of an event that tell two of its kind apart: where it happened, or which mistake it is."""


@dataclass(slots=True)
class _Kind:
    since: float
    passed: int = 0
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Lets :data:`BURST` records of a kind pass in each period; the first of the next says how many were left out.

    A kind is the logger with the event's name and place, and for what a library logs the text before its values are put
    in. ``monotonic`` gives seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._kinds: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        fields = getattr(record, "fields", {})
        key = (record.name, record.levelno, record.msg, *(str(fields.get(name)) for name in _TOLD_APART_BY))
        now = self._monotonic()
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(now)
            if len(self._kinds) > MOST_KINDS:
                self._kinds.popitem(last=False)
        elif now - kind.since >= PERIOD_SECONDS:
            if kind.left_out:
                record.left_out = kind.left_out
            kind.since, kind.passed, kind.left_out = now, 0, 0
            self._kinds.move_to_end(key)
        if kind.passed >= BURST:
            kind.left_out += 1
            return False
        kind.passed += 1
        return True
