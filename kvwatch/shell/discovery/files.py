"""Targets from files: globs are looked through again and again, and a file is read when it has changed."""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Sequence
from pathlib import Path

from kvwatch.shell.discovery.found import Deliver, Failed, Found, SourceError
from kvwatch.shell.discovery.groups import MAX_BYTES, read_json, read_yaml
from kvwatch.shell.tasks import ticks

_MAX_FILES = 1000
_Stamp = tuple[int, int, int]


class FilesSource:
    """Follows files. One that cannot be read keeps the targets it had; one that is gone has none."""

    def __init__(self, paths: Sequence[str], interval_seconds: float) -> None:
        self._paths = tuple(paths)
        self._interval_seconds = interval_seconds
        self._files: dict[str, tuple[_Stamp | None, list[Found]]] = {}
        self._delivered = False

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Look for changes for ever."""
        async for _ in ticks(self._interval_seconds):
            changed, faults = await asyncio.to_thread(self._look)
            for fault in faults:
                failed(fault)
            if changed or not self._delivered:
                self._delivered = True
                deliver(tuple(found for _, targets in self._files.values() for found in targets))

    def _look(self) -> tuple[bool, list[str]]:
        """Read what has changed: whether anything has, and what could not be read."""
        matches = (glob.glob(path, recursive=True) for path in self._paths)  # noqa: PTH207 - the globs are absolute
        names = sorted({name for found in matches for name in found})
        faults = [f"{len(names)} files are more than {_MAX_FILES}"] if len(names) > _MAX_FILES else []
        seen: dict[str, tuple[_Stamp | None, list[Found]]] = {}
        for name in names[:_MAX_FILES]:
            stamp, targets = self._files.get(name, (None, []))
            try:
                status = Path(name).stat()
                now = (status.st_mtime_ns, status.st_size, status.st_ino)
                if now != stamp:
                    targets, stamp = _read(Path(name)), now
            except FileNotFoundError:  # gone since the glob
                continue
            except (SourceError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                faults.append(f"{name}: {why}")
                stamp = None
            seen[name] = stamp, targets
        changed = {name: targets for name, (_, targets) in seen.items()} != {
            name: targets for name, (_, targets) in self._files.items()
        }
        self._files = seen
        return changed, faults


def _read(path: Path) -> list[Found]:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SourceError(f"longer than {MAX_BYTES} bytes")
    return read_json(content) if path.suffix == ".json" else read_yaml(content)
