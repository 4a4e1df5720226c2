"""The Prometheus text format, fed in pieces: raw values of the wanted series, everything else skipped.

Reads the classic format (0.0.4) and OpenMetrics 1.0. ``# TYPE`` lines are not needed: the names of samples are
the same in both, and what each means is known to the tables of :mod:`kvwatch.parse.exposition.names` alone.

A server repeats the same series in every scrape, so the reader remembers the bytes of each wanted series key
(``name{labels}``, exactly as written) with the slot that holds its value. A line seen before then costs two
splits and two look-ups; its labels are parsed once. Where all lines are those of the scrape before, in the same
order, even that is saved: :mod:`kvwatch.parse.exposition.shape`. What is remembered never changes what is read: after
each scrape it is cut down to the series of that scrape.

A series has one value in an exposition. Where it is shown again with another one, in the same spelling or with its
labels in another order, nobody knows which is right: neither counts (Prometheus keeps the first and warns).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvwatch.parse.exposition.line import BLANK, NAME, labels_of, number_in
from kvwatch.parse.exposition.shape import Shape, ShapeLearner

MAX_LINE_BYTES = 16_384
MAX_SERIES = 32_768
MAX_KEY_BYTES = 8 << 20
"""Bytes of series keys held for one target; parsed labels take a few times as much."""
MAX_BODY_BYTES = 64 << 20

SHOWN_BEFORE = -math.inf
"""In the place of a value that another series has already."""
_MAX_NAMES = 4_096
_MAX_NAME_BYTES = 256
_USUAL_VALUE_BYTES = 32
_LONGEST_PAUSE_SCRAPES = 64
"""Between two attempts to learn the shape of a target whose shape never stays."""


@dataclass(frozen=True, slots=True)
class Series:
    """One wanted series: the sample's name (with ``_total``, ``_bucket`` …) and its labels, unescaped."""

    name: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Samples:
    """What one exposition holds.

    ``values[i]`` belongs to ``series[i]``; NaN where none can be counted, and :data:`SHOWN_BEFORE` where it is another
    spelling of a series that has its value.
    ``series`` is the same tuple from scrape to scrape while the server shows the same series, so work that
    depends on it alone can be kept. ``dropped_series`` counts the lines refused because a limit was reached.
    """

    series: tuple[Series, ...]
    values: list[float]
    bad_lines: int
    dropped_series: int
    openmetrics: bool
    mentioned: str = ""
    """The first name that the reader was to look out for, wanted or not."""


class SampleReader:
    """Reads one target's expositions, one after another, keeping what it learnt of their series.

    Memory is bounded by the module's limits, whatever the input. Never raises for the input. ``wanted`` says whether a
    name is; the first group of ``mention`` is a name at the beginning of a line that is looked out for.
    """

    def __init__(
        self,
        wanted: Callable[[bytes], bool],
        max_series: int = MAX_SERIES,
        mention: re.Pattern[bytes] | None = None,
    ) -> None:
        self._wanted = wanted
        self._max_series = max_series
        self._mention = mention
        self._verdicts: dict[bytes, bool] = {}
        """Names seen before: true for the wanted ones, false for the others."""
        self._slots: dict[bytes, int] = {}
        self._key_bytes = 0
        self._series: list[Series] = []
        self._known: tuple[Series, ...] = ()
        self._equal: tuple[tuple[int, ...], ...] = ()
        """Slots of series that are one and the same, spelled differently; none where all is as it should be."""
        self._contradicted: set[int] = set()
        """Slots that this scrape has shown again with another value."""
        self._raw: list[bytes | None] = []
        """What follows the key on the line of each slot; None while this scrape has not shown it."""
        self._shape: Shape | None = None
        self._learner: ShapeLearner | None = None
        self._place = 0
        """Number of the next line in the shape."""
        self._pause = self._next_pause = 0
        """Scrapes until the shape is learnt again, now and when it is lost the next time."""
        self.reset()

    def reset(self) -> None:
        """Forget the exposition being read, as when the connection broke; keep what is known of the series."""
        self._raw = [None] * len(self._slots)
        self._contradicted.clear()
        self._place = 0
        self._learner = ShapeLearner() if self._shape is None and not self._pause else None
        self._tail = b""
        self._last = b""
        self._cutting = False
        self._full = False
        self._room = MAX_BODY_BYTES
        self._bad_lines = 0
        self._dropped = 0
        self._mentioned = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the exposition, cut anywhere."""
        if len(chunk) > self._room:
            chunk = chunk[: self._room]
        self._room -= len(chunk)
        if self._cutting:
            _, newline, chunk = chunk.partition(b"\n")
            if not newline:
                return
            self._cutting = False
        text = self._tail + chunk
        if self._mention is not None and not self._mentioned and (found := self._mention.search(text)) is not None:
            self._mentioned = found[1]
        lines = text.split(b"\n")
        self._tail = lines.pop()
        if lines:
            if self._shape is None or not self._shape.take(lines, self._place, self._raw):
                self._lose_shape()
                self._take(lines)
                if self._learner is not None:
                    self._learner.take(lines, self._verdicts, self._slots)
            self._place += len(lines)
            self._last = lines[-1]
        if len(self._tail) > MAX_LINE_BYTES:
            self._lose(self._tail)
            self._last = self._tail[:1]
            self._tail = b""
            self._cutting = True
            self._lose_shape()
            self._learner = None

    def finish(self) -> Samples:
        """The samples of the exposition fed so far; the next bytes begin another one.

        A last line that no newline ends is lost, since its number may be cut short.
        """
        if self._tail:
            self._lose(self._tail)
        if not self._room:
            self._bad_lines += 1
        if None in self._raw:
            self._forget_unseen()
        self._keep_shape()
        if len(self._known) != len(self._series):  # those that were dropped too
            self._known = tuple(self._series)
            self._equal = equal_series(self._known)
        values = self._values()
        openmetrics = b"# EOF" in (self._tail.rstrip(BLANK), self._last.rstrip(BLANK))
        mentioned = self._mentioned.decode("ascii", "replace")
        samples = Samples(self._known, values, self._bad_lines, self._dropped, openmetrics, mentioned)
        self.reset()
        return samples

    def _keep_shape(self) -> None:
        """At the end of an exposition keep its shape, if all of it was as usual."""
        if self._shape is not None:
            self._next_pause = 0
        elif self._learner is None:
            self._pause = max(0, self._pause - 1)
        else:
            self._shape = self._learner.shape()
            if self._shape is None:
                self._wait_longer()

    def _lose_shape(self) -> None:
        """Read line by line from here on, and learn the shape of one of the next expositions."""
        if self._shape is not None:
            self._shape = None
            self._wait_longer()

    def _wait_longer(self) -> None:
        self._pause = self._next_pause
        self._next_pause = min(_LONGEST_PAUSE_SCRAPES, 2 * self._next_pause + 1)

    def _take(self, lines: list[bytes]) -> None:
        """Read whole lines. This loop is where the time goes."""
        raw = self._raw
        verdict_of = self._verdicts.get
        slot_of = self._slots.get
        for line in lines:
            verdict = verdict_of(line.partition(b"{")[0])
            if verdict:
                key, _, value = line.rpartition(b" ")
                slot = slot_of(key)
                if slot is None:
                    self._take_slowly(line)
                elif raw[slot] is None:
                    raw[slot] = value
                else:
                    self._take_again(slot, value)
            elif verdict is None and line[:1] != b"#":
                self._take_slowly(line)

    def _take_slowly(self, line: bytes) -> None:
        """Read one line of any form: a series not seen before, timestamps, exemplars, odd spaces, junk."""
        if not line.strip(BLANK) or line.lstrip(BLANK)[:1] == b"#":
            return
        if len(line) > MAX_LINE_BYTES:
            self._lose(line)
            return
        head = NAME.match(line)
        if head is None:
            self._bad_lines += 1
            return
        name = head[2]
        if not self._is_wanted(name):
            return
        if head[3]:
            labels, end = labels_of(line, head.end(3))
        else:
            end = head.end(2)
            labels = {} if line[end : end + 1] in (b" ", b"\t") else None
        if labels is None:
            self._bad_lines += 1
            return
        key = line[head.start(1) : end]
        slot = self._slots.get(key)
        if slot is None:
            slot = self._new_slot(key, Series(name.decode(), labels))
        if slot is not None:
            value = line[end + 1 :] if line[end : end + 1] == b" " else line[end:]
            if self._raw[slot] is None:
                self._raw[slot] = value
            else:
                self._take_again(slot, value)

    def _take_again(self, slot: int, value: bytes) -> None:
        """A series that this exposition has shown before."""
        if value != self._raw[slot]:
            self._contradicted.add(slot)
            self._bad_lines += 1

    def _is_wanted(self, name: bytes) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = len(name) <= _MAX_NAME_BYTES and self._wanted(name)
            if len(self._verdicts) >= _MAX_NAMES:
                self._verdicts.clear()
            if len(name) <= _MAX_NAME_BYTES:
                self._verdicts[name] = verdict
        return verdict

    def _new_slot(self, key: bytes, series: Series) -> int | None:
        if len(self._slots) >= self._max_series or self._key_bytes + len(key) > MAX_KEY_BYTES:
            if not self._full:  # once a scrape: what an earlier scrape left behind must not take the room
                self._full = True
                self._forget_unseen()
                return self._new_slot(key, series)
            self._dropped += 1
            return None
        slot = len(self._slots)
        self._slots[key] = slot
        self._key_bytes += len(key)
        self._series.append(series)
        self._raw.append(None)
        return slot

    def _forget_unseen(self) -> None:
        """Keep only the series that this scrape has shown."""
        seen = [slot for slot, raw in enumerate(self._raw) if raw is not None]
        keys = list(self._slots)
        # in place: the loop of _take holds on to both
        self._slots.clear()
        self._slots.update((keys[old], new) for new, old in enumerate(seen))
        self._raw[:] = [self._raw[old] for old in seen]
        self._series = [self._series[old] for old in seen]
        self._known = ()
        self._contradicted = {new for new, old in enumerate(seen) if old in self._contradicted}
        self._key_bytes = sum(map(len, self._slots))
        self._lose_shape()
        if self._learner is not None:
            self._learner.give_up()

    def _lose(self, line: bytes) -> None:
        """Count a line that cannot be read to its end, unless it is a comment or of a family not wanted."""
        if not line.strip(BLANK) or line.lstrip(BLANK)[:1] == b"#":
            return
        head = NAME.match(line)
        if head is None or self._is_wanted(head[2]):
            self._bad_lines += 1

    def _values(self) -> list[float]:
        values = self._numbers()
        for equal in self._equal:
            if len({values[slot] for slot in equal}) > 1:
                self._contradicted.update(equal)
                self._bad_lines += len(equal) - 1
            for slot in equal[1:]:
                values[slot] = SHOWN_BEFORE
        for slot in self._contradicted:
            values[slot] = math.nan
        return values

    def _numbers(self) -> list[float]:
        raw = [value or b"" for value in self._raw]
        if not raw:
            return []
        if max(map(len, raw)) <= _USUAL_VALUE_BYTES and b"_" not in b"".join(raw):
            try:
                return list(map(float, raw))
            except ValueError:
                pass
        values = []
        for key, rest in zip(self._slots, raw, strict=True):
            value = None if len(key) + 1 + len(rest) > MAX_LINE_BYTES else number_in(rest)
            if value is None:
                self._bad_lines += 1
            values.append(math.nan if value is None else value)
        return values


def equal_series(series: Sequence[Series]) -> tuple[tuple[int, ...], ...]:
    """Places of series that are the same one: of one name, with the same labels, in whatever order.

    As Prometheus sees it: an empty label is none, and the edge of a bucket is a number.
    """
    places: dict[object, list[int]] = defaultdict(list)
    for place, one in enumerate(series):
        labels = ((name, _edge(value) if name == "le" else value) for name, value in one.labels.items() if value)
        places[one.name, frozenset(labels)].append(place)
    return tuple(tuple(found) for found in places.values() if len(found) > 1)


def _edge(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
