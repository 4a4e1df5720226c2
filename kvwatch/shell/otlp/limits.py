"""What senders of traces may cost: spans per second, bytes at a time, and the memory of what they have sent."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kvwatch.core.kept import StateError, refusing

KEPT_SPANS = 4096
"""Spans that a checkpoint holds: vLLM's exporter sends up to 512 at a time again."""
_ID_BYTES = 24
_NEWEST = "newest"


class BusyError(Exception):
    """No room at the moment; ``retry_seconds`` says when to come back, ``of_rate`` whether too much had come before."""

    def __init__(self, retry_seconds: float, *, of_rate: bool) -> None:
        cause = "more than traces.max_spans_per_second" if of_rate else "too much at a time"
        super().__init__(f"{cause}; try again in {math.ceil(retry_seconds)} s")
        self.retry_seconds = retry_seconds
        self.of_rate = of_rate


class SpanRate:
    """A bound on spans per second that never refuses a part of an export.

    What an export costs is known only when it has been read, so it is charged then, and a debt keeps the next ones
    out until it is paid. Times are of any steady clock, in seconds.
    """

    def __init__(self, spans_per_second: float) -> None:
        self._rate = spans_per_second
        self._balance = spans_per_second
        self._at: float | None = None

    def wait_seconds(self, now: float) -> float:
        """How long until an export may come; 0 for at once."""
        if self._at is not None:
            self._balance = min(self._rate, self._balance + max(0.0, now - self._at) * self._rate)
        self._at = now
        return max(0.0, -self._balance / self._rate)

    def charge(self, spans: float) -> None:
        """Take what an export was."""
        self._balance -= spans


class ByteBudget:
    """Bytes of exports held at a time, by all senders together."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A share that grows with :meth:`Share.take` and is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._left += share.taken
            share.taken = 0

    def take(self, count: int) -> None:
        """Raises BusyError where so many bytes are not left."""
        if count > self._left:
            raise BusyError(1.0, of_rate=False)
        self._left -= count


class Share:
    """What one export holds of a budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.taken = 0

    def take(self, count: int) -> None:
        """Hold more bytes. Raises BusyError where they are not left."""
        self._budget.take(count)
        self.taken += count


class SeenSpans:
    """Which spans have come before: at least the last ``size``, at most twice as many.

    Two sets take turns. Ids are kept as their hashes, 64 bits with a secret of the process: that two of a quarter of a
    million fall together has a chance of one in half a billion. Of the newest the ids themselves are kept, which mean
    the same to the next process.
    """

    def __init__(self, size: int = 131_072) -> None:
        self._size = size
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._newest: deque[bytes] = deque(maxlen=KEPT_SPANS)

    def add(self, span: bytes) -> bool:
        """Remember a span; false where it was known."""
        mark = hash(span)
        if mark in self._new or mark in self._old:
            return False
        if len(self._new) >= self._size:
            self._old, self._new = self._new, set()
        self._new.add(mark)
        self._newest.append(span)
        return True

    def dump(self) -> dict[str, Any]:
        """The newest :data:`KEPT_SPANS` spans as plain data."""
        return {_NEWEST: b"".join(self._newest).hex()}

    def restore(self, dumped: dict[str, Any]) -> None:
        """Take up dumped spans, as if they had just come. Raises StateError for what cannot be any."""
        with refusing("spans"):
            ids = bytes.fromhex(dumped.get(_NEWEST, ""))
            if len(ids) % _ID_BYTES:
                raise StateError("ids of spans are cut off")
        for start in range(max(0, len(ids) - KEPT_SPANS * _ID_BYTES), len(ids), _ID_BYTES):
            self.add(ids[start : start + _ID_BYTES])
