"""Which files a path or glob stands for, and where to begin in each.

A file is followed by what it is (device, inode, and what it begins with), not by its name: one that is renamed keeps
its position, and one that takes its name is another file.
"""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from kvwatch.parse.logs import LogFormat, LogReader
from kvwatch.shell.logging import event
from kvwatch.shell.tail.file import TailedFile, TailedPipe
from kvwatch.shell.tail.generations import MAX_SIBLINGS, Generations
from kvwatch.shell.tail.positions import Key, Mark, Marks, begins_like, continues, mark_at

MAX_FILES = 1000
FAST_ROTATION_SECONDS = 2.0
"""Between two rotations of a log that may be too fast to follow. Choice: some looks at it."""
_FAST_EFFECT = "a file that is gone again before it is seen is not read; rotate less often, or keep some files"
_ORDER_SECONDS = 1e-6
"""Between the times at which files that were rotated away at once count as such, so that they are read in order."""
_UNDECIDED_SECONDS = 5.0
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A source as it is configured; ``utc_offset`` is that of the zone in which its stamps without one are."""

    path: str
    format: LogFormat
    from_beginning: bool = False
    utc_offset: Callable[[float], float] = lambda _: 0.0

    @property
    def key(self) -> str:
        """What its positions are kept under."""
        return f"{self.format.name} {self.path}"


class Finder:
    """The files of one source. ``marks`` are those of the run before, ``None`` where there was none.

    ``changes`` collects what has become of marks, for whoever keeps them.
    """

    def __init__(self, settings: SourceSettings, marks: Marks | None, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._to_resume: Marks = {key: mark for key, mark in (marks or {}).items() if not mark.held}
        self._held: Marks = {key: mark for key, mark in (marks or {}).items() if mark.held}
        self._at_end = marks is None and not settings.from_beginning
        self._begun_at_end: list[Key] = []
        self._undecided: dict[Key, tuple[int, float]] = {}
        self._problems: dict[str, str] = {}
        self._generations = None if glob.has_magic(settings.path) else Generations(Path(settings.path))
        self.rotated_at = float("-inf")
        """When the path was last seen to be another file [monotonic s]."""
        self.files: dict[Key, TailedFile] = {}
        self.pipes: dict[Key, TailedPipe] = {}
        self.changes: dict[Key, Mark | None] = {}

    def look(self) -> None:
        """Compare the files that are there with those that are followed."""
        there, pipes = self._there()
        now = self._monotonic()
        for key, file in self.files.items():
            if key in there:
                file.path, file.retired_at = there[key], None
            elif file.retired_at is None:
                file.retired_at = now
        for known in (self._held, self._undecided):
            for key in [key for key in known if key not in there]:
                del known[key]
                self.changes[key] = None
        self._begin_missed(next(iter(there), None), now)
        # those that are surely known first: what is left of the marks may be found in the others
        for key in sorted(there, key=lambda key: key not in self._to_resume):
            if key not in self.files and key not in self._held:
                self._begin(there[key])
        for key, path in pipes.items():
            if key not in self.pipes and (descriptor := self._open(path)) is not None:
                self.pipes[key] = TailedPipe(path, descriptor, LogReader(self._settings.format))
                event(logging.INFO, "log_opened", path=str(path), kind="pipe")
        for key in [key for key in self.pipes if key not in pipes]:
            self.pipes.pop(key).close()
        self._find_lost()
        self._at_end = False

    def _begin_missed(self, current: Key | None, now: float) -> None:
        """Begin to follow, to their ends, files that had the name for a moment since the last look."""
        if self._generations is None:
            return
        if self.files and current is not None and current not in self.files:
            if now - self.rotated_at < FAST_ROTATION_SECONDS:
                event(logging.WARNING, "log_rotates_fast", path=self._settings.path, effect=_FAST_EFFECT)
            self.rotated_at = now
        for place, path in enumerate(self._generations.missed(current)):
            try:
                status = path.stat()
            except OSError:  # gone again
                continue
            key = status.st_dev, status.st_ino
            if key in self.files or key in self._held or key in self._to_resume:
                continue
            self._begin(path)
            if key in self.files:
                self.files[key].retired_at = now + (place + 1) * _ORDER_SECONDS

    def begun_at_end(self) -> list[TailedFile]:
        """Files of which nothing was read before; each is told once."""
        keys, self._begun_at_end = self._begun_at_end, []
        return [self.files[key] for key in keys if key in self.files]

    def _there(self) -> tuple[dict[Key, Path], dict[Key, Path]]:
        """Regular files, and pipes, by what they are."""
        files: dict[Key, Path] = {}
        pipes: dict[Key, Path] = {}
        pattern = self._settings.path
        names: Iterable[str] = (pattern,)
        if glob.has_magic(pattern):
            names = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - a pattern may be absolute
        for name in names:
            path = Path(name)
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                self.problem(path, error)
                continue
            if stat.S_ISREG(status.st_mode):
                files[status.st_dev, status.st_ino] = path
            elif stat.S_ISFIFO(status.st_mode):
                pipes[status.st_dev, status.st_ino] = path
            if len(files) + len(pipes) >= MAX_FILES:
                self._tell(pattern, f"stands for more than {MAX_FILES} files; the others are not read")
                break
        return files, pipes

    def _open(self, path: Path) -> int | None:
        try:
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem(path, error)
            return None

    def _begin(self, path: Path) -> None:
        """Begin to follow a file that was not there before, unless it is a copy of one that is followed."""
        descriptor = self._open(path)
        if descriptor is None:
            return
        try:
            mark = self._place(path, descriptor)
        except OSError as error:
            self.problem(path, error)
            mark = None
        if mark is None:
            os.close(descriptor)
        else:
            self._follow(path, descriptor, mark)

    def _place(self, path: Path, descriptor: int) -> Mark | None:
        """Where to begin in an open file; ``None`` where it is not to be read, or not yet."""
        fresh = mark_at(descriptor, 0)
        resumed = self._to_resume.pop(fresh.key, None)
        if resumed is not None:
            if continues(descriptor, resumed):
                return resumed
            self._to_resume[fresh.key] = resumed  # its content may be elsewhere
        for mark in [m for m in self._to_resume.values() if m.offset and continues(descriptor, m)]:
            del self._to_resume[mark.key]
            self.changes[mark.key] = None
            return replace(mark_at(descriptor, mark.offset), unfinished=mark.unfinished)
        compressed = os.pread(descriptor, len(_GZIP), 0) == _GZIP
        if self._at_end and not compressed:
            self._begun_at_end.append(fresh.key)
            return mark_at(descriptor, _last_line_end(descriptor))
        if compressed or self._is_copy(descriptor):
            self._held[fresh.key] = self.changes[fresh.key] = replace(fresh, held=True)
            event(logging.INFO, "log_not_read", path=str(path), why="a copy of another file, or compressed")
            return None
        return None if self._may_become_copy(descriptor, fresh.key) else fresh

    def _is_copy(self, descriptor: int) -> bool:
        return any(file.mark.offset and continues(descriptor, file.mark) for file in self.files.values())

    def _may_become_copy(self, descriptor: int, key: Key) -> bool:
        """Whether a file is, so far, the beginning of another one: it might be a copy that is still being made."""
        size = os.fstat(descriptor).st_size
        others = [file for file in self.files.values() if file.mark.offset > size]
        if size and not any(
            begins_like(descriptor, file.mark) or (size < file.mark.head_length and file.has_beginning_of(descriptor))
            for file in others
        ):
            others = []
        if not others:
            self._undecided.pop(key, None)
            return False
        before, since = self._undecided.get(key, (-1, 0.0))
        if size != before:
            since = self._monotonic()
            self._undecided[key] = size, since
        if self._monotonic() - since > _UNDECIDED_SECONDS:
            del self._undecided[key]
            return False
        return True

    def _follow(self, path: Path, descriptor: int, mark: Mark, reader: LogReader | None = None) -> TailedFile:
        file = TailedFile(path, descriptor, reader or LogReader(self._settings.format), mark)
        if reader is None:
            file.prime()
        self.files[mark.key] = file
        self._held.pop(mark.key, None)
        self.changes[mark.key] = mark
        self._problems.pop(str(path), None)
        event(logging.INFO, "log_opened", path=str(path), offset_bytes=mark.offset)
        return file

    def _find_lost(self) -> None:
        """Follow, to their end, files of the run before that have another name now, or a copy."""
        for mark in self._to_resume.values():
            if mark.key not in self.files:
                self.changes[mark.key] = None
            if self.follow_rest(mark, None) is None and mark.offset:
                _tell_gone(self._settings.path, mark)
        self._to_resume.clear()

    def follow_rest(self, mark: Mark, reader: LogReader | None) -> TailedFile | None:
        """Follow the file that holds, under whatever name, what the marked one did; ``None`` where there is none.

        ``reader`` is that of the marked file, where it is at hand.
        """
        if self._generations is not None:
            self._generations.take_as_known()
        for path in self._siblings():
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in self.files or not 0 < mark.offset <= status.st_size:
                    continue
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and continues(descriptor, mark):
                moved = mark_at(descriptor, mark.offset)
                moved = replace(moved, unfinished=mark.unfinished, skipping=mark.skipping)
                file = self._follow(path, descriptor, moved, reader)
                file.retired_at = self._monotonic()
                return file
            os.close(descriptor)
        return None

    def _siblings(self) -> list[Path]:
        """Files in the folders of those that are followed, and of the source."""
        folders = {file.path.parent for file in self.files.values()}
        if not glob.has_magic(str(Path(self._settings.path).parent)):
            folders.add(Path(self._settings.path).parent)
        paths: list[Path] = []
        for folder in sorted(folders):
            try:
                with os.scandir(folder) as entries:
                    paths += [Path(entry.path) for _, entry in zip(range(MAX_SIBLINGS), entries, strict=False)]
            except OSError as error:
                self.problem(folder, error)
        return paths

    def drop(self, file: TailedFile, *, resume: bool = False) -> None:
        """Follow a file no longer; with ``resume``, begin at its mark when it is opened again."""
        self.files.pop(file.mark.key, None)
        if resume:
            self._to_resume[file.mark.key] = file.mark
        else:
            self.changes[file.mark.key] = None
        file.close()

    def problem(self, path: Path, error: OSError) -> None:
        """Say what is wrong with a path."""
        self._tell(str(path), error.strerror or str(error))

    def _tell(self, path: str, why: str) -> None:
        """Say it once for as long as it lasts."""
        if self._problems.get(path) != why and len(self._problems) < MAX_FILES:
            self._problems[path] = why
            event(logging.WARNING, "log_unreadable", path=path, why=why, effect="tried again")


def _tell_gone(path: str, mark: Mark) -> None:
    """Warn where it is known that lines are lost."""
    if mark.at_end and not mark.skipping:
        event(logging.INFO, "log_gone", path=path, effect="it had been read to its end; what came later is not read")
    else:
        event(logging.WARNING, "log_gone", path=path, effect="what it still held is not read")


def _last_line_end(descriptor: int) -> int:
    """Where the last whole line of a file ends: a line that is being written is read once it is whole."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - (1 << 20))
    return start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
