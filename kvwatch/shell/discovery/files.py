"""Targets from files: globs are looked through again and again, and a file is read when it has changed."""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from kvwatch.shell.discovery.found import Deliver, Failed, SourceError
from kvwatch.shell.discovery.groups import MAX_BYTES, MOST_TARGETS, Listing, read_json, read_yaml
from kvwatch.shell.tasks import ticks

_MAX_FILES = 1000
_NOTHING = Listing([])
_Stamp = tuple[int, int, int]


class FilesSource:
    """Follows files. One that cannot be read keeps the targets it had; one that is gone has none."""

    def __init__(self, paths: Sequence[str], interval_seconds: float) -> None:
        self._paths = tuple(paths)
        self._interval_seconds = interval_seconds
        self._files: dict[str, tuple[_Stamp | None, Listing]] = {}
        self._pending: dict[str, _Stamp] = {}
        """As the files were at the last look. One that is being written is read when two looks see the same: half of a
        YAML document is a document, and none at all a list without targets."""
        self._failing: bool | None = None
        """Whether something failed at the last look; ``None`` before the first."""

    def resume(self, before: FilesSource) -> None:
        """Go on from what another has read: a file that cannot be read keeps the targets that it had there."""
        self._files = {name: (None, listing) for name, (_, listing) in before._files.items()}

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Look for changes for ever."""
        async for _ in ticks(self._interval_seconds):
            changed, faults = await asyncio.to_thread(self._look)
            for fault in faults:
                failed(fault)
            if changed or self._failing is None or (self._failing and not faults):
                every = sum(len(listing.found) + listing.left_out for _, listing in self._files.values())
                found = tuple(islice(chain.from_iterable(one.found for _, one in self._files.values()), MOST_TARGETS))
                deliver(found, whole=not faults, left_out=every - len(found))
            self._failing = bool(faults)

    def _look(self) -> tuple[bool, list[str]]:
        """Read what has changed: whether anything has, and what could not be read."""
        matches = (glob.glob(path, recursive=True) for path in self._paths)  # noqa: PTH207 - the globs are absolute
        names = sorted({name for found in matches for name in found})
        faults = [f"{len(names)} files are more than {_MAX_FILES}"] if len(names) > _MAX_FILES else []
        seen: dict[str, tuple[_Stamp | None, Listing]] = {}
        stamps: dict[str, _Stamp] = {}
        for name in names[:_MAX_FILES]:
            stamp, listing = self._files.get(name, (None, _NOTHING))
            pending = self._pending.get(name)
            try:
                status = Path(name).stat()
                now = stamps[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
                if now != stamp and (stamp is None or now == pending):
                    listing, stamp = _read(Path(name)), now
            except FileNotFoundError:  # gone since the glob
                continue
            except (SourceError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                faults.append(f"{name}: {why}")
                stamp = None
            seen[name] = stamp, listing
        changed = {name: listing for name, (_, listing) in seen.items()} != {
            name: listing for name, (_, listing) in self._files.items()
        }
        self._files, self._pending = seen, stamps
        return changed, faults


def _read(path: Path) -> Listing:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SourceError(f"longer than {MAX_BYTES} bytes")
    return read_json(content) if path.suffix == ".json" else read_yaml(content)
