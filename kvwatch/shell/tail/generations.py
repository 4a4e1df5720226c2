"""Files that had a log's name for less than the time between two looks: rotated away before they were ever seen."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kvwatch.shell.tail.positions import Key

MAX_SIBLINGS = 2000
"""Files of a folder that are looked at. Choice: some years of daily rotations of a few logs."""
_CAREFUL_SECONDS = 2.0
"""By how much the file system's clock may lag behind. Choice: the resolution of FAT, the coarsest there is."""


class Generations:
    """What the rotations of one path have left in its folder. Reads the folder only where the path is another file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._current: Key | None = None
        self._known: set[Key] = set()
        self._looked_at = 0.0
        """When the folder was last read, by the file system's clock [unix s]."""

    def missed(self, current: Key | None) -> list[Path]:
        """Files that were made and rotated away since the last look, the oldest first; ``current`` has the name now."""
        if current is None or current == self._current:
            return []
        found = self._rotated()
        first = self._current is None
        new = {key: status for key, status in found.items() if key not in self._known and key != current}
        since = self._looked_at - _CAREFUL_SECONDS
        self._current, self._known = current, set(found) | {current}
        self._looked_at = max((mtime for mtime, _ in found.values()), default=self._looked_at)
        if first:
            return []
        return [path for mtime, path in sorted(new.values()) if mtime >= since]

    def take_as_known(self) -> None:
        """What is in the folder now is no news: after a truncation, a copy of what has been read is among it."""
        self._known |= set(self._rotated())

    def _rotated(self) -> dict[Key, tuple[float, Path]]:
        """Regular files of the folder that have such names: when they were last written to, and where they are."""
        found: dict[Key, tuple[float, Path]] = {}
        try:
            with os.scandir(self._path.parent) as entries:
                for _, entry in zip(range(MAX_SIBLINGS), entries, strict=False):
                    if _is_rotation(entry.name, self._path):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            found[status.st_dev, status.st_ino] = status.st_mtime, Path(entry.path)
        except OSError:  # it is told of where the path itself cannot be read
            return {}
        return found


def _is_rotation(name: str, path: Path) -> bool:
    """Whether a file may be what a rotation has made of the path: access.log.1, access.log-20260101, access-1.log."""
    if name.startswith(path.name) and name != path.name:
        return name[len(path.name)] in ".-_~"
    stem, suffix = path.stem, path.suffix
    return bool(suffix) and name.endswith(suffix) and name.startswith((f"{stem}-", f"{stem}.", f"{stem}_"))
