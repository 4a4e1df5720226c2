"""How far each file has been read, in a form that survives a restart and is not fooled by inodes that are used again.

A file is known by device and inode, and by what its beginning and the bytes before the position hash to. The hashes
tell a file that was truncated and written anew, and find the copy that a rotation by copying has made of it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

from kvwatch.core.kept import refusing

HEAD_BYTES = 1024
TAIL_BYTES = 64
_MAX_FILES = 2000
_LEAST_HEAD_BYTES = 32
_MOST_UNFINISHED_BYTES = 1 << 26
"""Of a line whose pieces are not all there, with what wraps them [bytes]. Choice: 64 times the longest line."""
_MOST_BYTES = 2**63 - 1
"""Of a file, as far as systems can say [bytes]. Definition."""

Key = tuple[int, int]
"""Device and inode: what a file is called for as long as it exists."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a file.

    ``offset`` is the end of the last line that was read [bytes], ``unfinished`` how much before it belongs to a line
    whose pieces were not all there, ``skipping`` whether a line too long is being passed over. A ``held`` file is a
    copy of another one and is not read. ``at_end`` says that the file held nothing more when it was read up to here.
    """

    device: int
    inode: int
    offset: int = 0
    head_length: int = 0
    head: str = ""
    tail: str = ""
    unfinished: int = 0
    skipping: bool = False
    held: bool = False
    at_end: bool = False

    @property
    def key(self) -> Key:
        """Device and inode."""
        return self.device, self.inode


def mark_at(descriptor: int, offset: int, before: Mark | None = None) -> Mark:
    """The mark of an open file that has been read up to ``offset``."""
    status = os.fstat(descriptor)
    if before is not None and before.head_length == min(HEAD_BYTES, offset):
        head_length, head = before.head_length, before.head
    else:
        head_length = min(HEAD_BYTES, offset)
        head = _hash(os.pread(descriptor, head_length, 0))
    tail, at_end = _tail(descriptor, offset), offset == status.st_size
    return Mark(status.st_dev, status.st_ino, offset, head_length, head, tail, at_end=at_end)


def continues(descriptor: int, mark: Mark) -> bool:
    """Whether an open file holds what the marked one held, at least up to the marked position."""
    if os.fstat(descriptor).st_size < mark.offset:
        return False
    head = os.pread(descriptor, mark.head_length, 0)
    return len(head) == mark.head_length and _hash(head) == mark.head and _tail(descriptor, mark.offset) == mark.tail


def begins_like(descriptor: int, mark: Mark) -> bool:
    """Whether an open file begins as the marked one does; never where the mark has too little to tell."""
    if mark.head_length < _LEAST_HEAD_BYTES:
        return False
    head = os.pread(descriptor, mark.head_length, 0)
    return len(head) == mark.head_length and _hash(head) == mark.head


def _tail(descriptor: int, offset: int) -> str:
    length = min(TAIL_BYTES, offset)
    return _hash(os.pread(descriptor, length, offset - length))


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


Marks = dict[Key, Mark]


class Positions:
    """The marks of all files, by target and source. Changed on the event loop only, together with what was read."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[str, Marks]] = {}

    def of(self, target: str, source: str) -> Marks | None:
        """The marks of a source's files; ``None`` for a source that was never looked at."""
        return self._marks.get(target, {}).get(source)

    def update(self, target: str, source: str, changes: dict[Key, Mark | None]) -> None:
        """Take new marks; ``None`` forgets a file."""
        marks = self._marks.setdefault(target, {}).setdefault(source, {})
        for key, mark in changes.items():
            if mark is None:
                marks.pop(key, None)
            else:
                marks[key] = mark

    def keep_only(self, target: str, sources: set[str]) -> None:
        """Forget the sources of a target that are configured no longer."""
        known = self._marks.get(target, {})
        for source in set(known) - sources:
            del known[source]
        if not known:
            self._marks.pop(target, None)

    def __bool__(self) -> bool:
        return bool(self._marks)

    def dump(self, target: str | None = None) -> dict[str, Any]:
        """Everything as plain data, or all of one target where it is named."""
        return {
            name: {source: [asdict(mark) for mark in marks.values()] for source, marks in self._marks[name].items()}
            for name in (self._marks if target is None else self._marks.keys() & {target})
        }

    def restore(self, dumped: object) -> None:
        """Take up dumped marks. Raises StateError for what cannot be one."""
        restored: dict[str, dict[str, Marks]] = {}
        with refusing("positions"):
            for target, sources in dumped.items():  # type: ignore[attr-defined]
                for source, marks in sources.items():
                    read = [_mark(mark) for mark in marks[:_MAX_FILES]]
                    restored.setdefault(target, {})[source] = {mark.key: mark for mark in read}
        self._marks = restored


def _mark(found: dict[str, Any]) -> Mark:
    texts, truths = ("head", "tail"), ("skipping", "held", "at_end")
    found = {"at_end": False, **found}  # checkpoints of before do not have it
    for name in (field.name for field in fields(Mark)):
        value = found[name]
        kind = str if name in texts else bool if name in truths else int
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise ValueError(f"{name} of a position cannot be {value!r}")
    most_unfinished = min(found["offset"], _MOST_UNFINISHED_BYTES)
    if found["offset"] > _MOST_BYTES or found["head_length"] > HEAD_BYTES or found["unfinished"] > most_unfinished:
        raise ValueError("no file has such a position")
    return Mark(**{field.name: found[field.name] for field in fields(Mark)})
