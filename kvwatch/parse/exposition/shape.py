"""What the lines of an exposition begin with, learnt from one to know the next by.

A server writes the same lines in every scrape and only their numbers change. Where each line begins as the one in
the same place did before, it is the same series or of the same family that is not wanted, and nothing else of it
needs to be looked at. That comparison runs outside of the interpreter's loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

MAX_LINES = 65_536
MAX_BYTES = 1 << 20
"""Lines and bytes of beginnings, each counted once, that are held for one target."""
_USUAL_VALUE_BYTES = 32


class Shape:
    """The beginnings of all lines of one exposition, and where the numbers of the wanted ones are."""

    def __init__(self, beginnings: list[bytes], places: list[tuple[int, int, int]]) -> None:
        self._beginnings = tuple(beginnings)
        self._places = tuple(places)
        """Of each wanted line: its number, its slot, and where in it the value begins."""
        self._wanted = tuple(line for line, _, _ in places)

    def take(self, lines: list[bytes], first: int, raw: list[bytes | None]) -> bool:
        """Put the values of ``lines``, the first of which is line number ``first``, into their slots of ``raw``.

        False, and nothing done, where a line does not begin as it should or a value is unusually long.
        """
        last = first + len(lines)
        beginnings = self._beginnings
        if first or last != len(beginnings):
            beginnings = beginnings[first:last]
        if len(beginnings) != len(lines) or not all(map(bytes.startswith, lines, beginnings)):
            return False
        places = self._places[bisect_left(self._wanted, first) : bisect_left(self._wanted, last)]
        values = [lines[line - first][begin:] for line, _, begin in places]
        if max(map(len, values), default=0) > _USUAL_VALUE_BYTES:
            return False
        for (_, slot, _), value in zip(places, values, strict=True):
            raw[slot] = value
        return True


class ShapeLearner:
    """Takes note of the lines of one exposition; a form of line that is not usual ends it without a result."""

    def __init__(self) -> None:
        self._beginnings: list[bytes] = []
        self._places: list[tuple[int, int, int]] = []
        self._spelled: dict[bytes, bytes] = {}
        """Each beginning once, however many lines have it."""
        self._taken: set[int] = set()
        """Slots that have a place; one that is shown twice has no usual shape."""
        self._bytes = 0
        self._usual = True

    def take(self, lines: list[bytes], verdicts: Mapping[bytes, bool], slots: Mapping[bytes, int]) -> None:
        """Learn lines that the reader has read: ``verdicts`` on names and ``slots`` of keys hold what it found."""
        if not self._usual:
            return
        if len(self._beginnings) + len(lines) > MAX_LINES:
            self.give_up()
            return
        for line in lines:
            beginning = self._beginning(line, verdicts, slots)
            if beginning is None:
                self.give_up()
                return
            spelled = self._spelled.setdefault(beginning, beginning)
            if spelled is beginning:
                self._bytes += len(beginning)
            self._beginnings.append(spelled)
        if self._bytes > MAX_BYTES:
            self.give_up()

    def give_up(self) -> None:
        """Something was not seen, or cannot be known again by its beginning."""
        self._usual = False
        self._beginnings, self._places, self._spelled, self._taken = [], [], {}, set()

    def shape(self) -> Shape | None:
        """What has been learnt, if all was usual."""
        return Shape(self._beginnings, self._places) if self._usual and self._beginnings else None

    def _beginning(self, line: bytes, verdicts: Mapping[bytes, bool], slots: Mapping[bytes, int]) -> bytes | None:
        if line[:1] == b"#":
            return b"#"
        name, brace, _ = line.partition(b"{")
        if not brace:
            name = line.partition(b" ")[0]
        verdict = verdicts.get(name)
        if verdict is None:
            return None
        if not verdict:
            # a name that a brace or a blank ends is whole
            return name + (brace or b" ")
        key = line.rpartition(b" ")[0]
        slot = slots.get(key)
        if slot is None or slot in self._taken:
            return None
        self._taken.add(slot)
        begin = len(key) + 1
        self._places.append((len(self._beginnings), slot, begin))
        if brace:
            return key + b" "
        # the blank after a bare name may be followed by labels: a digit shows that it is not
        return line[: begin + 1] if line[begin : begin + 1].isdigit() else None
