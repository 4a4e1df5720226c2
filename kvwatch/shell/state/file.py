"""What kvwatch knows, kept on disk over a restart: what the core has learnt, how far logs were read, what was counted.

One JSON file, written whole and moved into place, so that a crash leaves the old one. It carries a version and a
checksum; a file that does not fit is set aside under another name, with a warning, and nothing is learnt from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from kvwatch.shell.logging import event

VERSION = 2
_ONLY_ENGINES = 1
"""The version that held the engines' states and nothing else."""
_MAX_BYTES = 128 << 20
"""Largest file that is read [bytes]. Choice: a target with request logs and tenants keeps 50 kB, so a thousand of them
50 MB; a larger file is damage, and would be held in memory several times over while it is read."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
"""A link that somebody has put in the temporary file's place, in a folder that others may write to, is not followed."""
_OWNER_ONLY = 0o600
"""The file names tenants and engines."""

States = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is kept, as it was in one instant: what was counted and learnt is what was read up to the positions."""

    engines: States = field(default_factory=dict)
    """By target."""
    positions: dict[str, Any] = field(default_factory=dict)
    """How far each log was read, by target and source."""
    counters: dict[str, Any] = field(default_factory=dict)
    """Counters that go with the positions, by target, name and value."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings that a server's log has shown, by target."""
    spans: dict[str, Any] = field(default_factory=dict)
    """The newest spans of requests that have been counted."""
    seen: dict[str, Any] = field(default_factory=dict)
    """When a target was last watched [unix s], of those that were not when this was put together."""
    models: dict[str, Any] = field(default_factory=dict)
    """Of models: replicas required and when all was known last [unix s], by model name and role."""


class StateFile:
    """A checkpoint in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()
        self._written = 0
        self._encoded = 0

    def load(self) -> Checkpoint:
        """The saved checkpoint; an empty one where there is no file, or none that can be read."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return Checkpoint()
        except OSError as error:
            event(logging.WARNING, "state_unreadable", path=str(self.path), error=error.strerror)
            return Checkpoint()
        try:
            return _read(content)
        except ValueError as error:
            self._set_aside(str(error))
            return Checkpoint()

    def peek(self) -> Checkpoint:
        """The saved checkpoint, of a file that is left as it is.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no state of kvwatch; the message says why.
        """
        with self.path.open("rb") as file:
            return _read(file.read(_MAX_BYTES + 1))

    def encode(self, checkpoint: Checkpoint) -> tuple[int, bytes]:
        """The checkpoint as it is now, numbered, for :meth:`write` in another thread."""
        self._encoded += 1
        parts = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
        return self._encoded, orjson.dumps(parts)

    def write(self, numbered: tuple[int, bytes]) -> bool:
        """Write what was encoded, unless something newer is written; whether it is safe on disk.

        A failure is logged, and the old file stays.
        """
        number, body = numbered
        header = orjson.dumps({"version": VERSION, "sha256": hashlib.sha256(body).hexdigest()})
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with self._writing:
            if number < self._written:
                return True
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with os.fdopen(os.open(temporary, _NEW_FILE, _OWNER_ONLY), "wb") as file:
                    os.fchmod(file.fileno(), _OWNER_ONLY)  # of one that a crash has left
                    file.write(header + b"\n" + body)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            except OSError as error:
                event(logging.WARNING, "state_not_saved", path=str(self.path), error=error.strerror)
                with contextlib.suppress(OSError):
                    temporary.unlink()  # half of it would keep a full disk full
                return False
            self._written = number
        return True

    def save(self, checkpoint: Checkpoint) -> bool:
        """Encode and write at once."""
        return self.write(self.encode(checkpoint))

    def _set_aside(self, why: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.rejected")
        event(logging.WARNING, "state_rejected", path=str(self.path), why=why, moved_to=str(aside))
        try:
            self.path.replace(aside)
        except OSError as error:
            event(logging.WARNING, "state_not_moved", path=str(self.path), error=error.strerror)


def _read(content: bytes) -> Checkpoint:
    """The checkpoint in a file's content. Raises ValueError, which says in words what is wrong with it."""
    if len(content) > _MAX_BYTES:
        raise ValueError("larger than 128 MiB")
    header, _, body = content.partition(b"\n")
    head = _json(header)
    if not isinstance(head, dict) or head.get("version") not in (VERSION, _ONLY_ENGINES):
        raise ValueError("of another version")
    if head.get("sha256") != hashlib.sha256(body).hexdigest():  # before its content is given any memory
        raise ValueError("damaged: the checksum does not fit")
    parts = _json(body)
    if head["version"] == _ONLY_ENGINES:
        parts = {"engines": parts}
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise ValueError("not a state of kvwatch")
    checkpoint = Checkpoint(**{name: parts[name] for name in Checkpoint.__slots__ if name in parts})
    for engines in checkpoint.engines.values():
        if not isinstance(engines, list) or not all(isinstance(engine, dict) for engine in engines):
            raise ValueError("not a state of kvwatch")
    return checkpoint


def _json(content: bytes) -> Any:  # noqa: ANN401 (JSON)
    """What is written there. Raises ValueError for what cannot be read, or is nested too deep to be written again."""
    try:
        found = orjson.loads(content)
        orjson.dumps(found)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise ValueError("damaged: not JSON") from None
    return found
