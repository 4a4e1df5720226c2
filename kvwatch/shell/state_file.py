"""What the core has learnt, kept on disk over a restart.

One JSON file, written whole and moved into place, so that a crash leaves the old one. It carries a version and a
checksum; a file that does not fit is set aside under another name, with a warning, and nothing is learnt from it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import orjson

from kvwatch.shell.logging import event

VERSION = 1
_MAX_BYTES = 256 << 20

States = dict[str, list[dict[str, Any]]]


class StateFile:
    """The state of all targets in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> States:
        """The saved states by target; empty where there is no file, or none that can be read."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            event(logging.WARNING, "state_unreadable", path=str(self.path), error=error.strerror)
            return {}
        try:
            return _read(content)
        except ValueError as error:
            return self._set_aside(str(error))

    def save(self, states: States) -> bool:
        """Write the states; whether that worked. A failure is logged, and the old file stays."""
        body = orjson.dumps(states)
        header = orjson.dumps({"version": VERSION, "sha256": hashlib.sha256(body).hexdigest()})
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(header + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            event(logging.WARNING, "state_not_saved", path=str(self.path), error=error.strerror)
            return False
        return True

    def _set_aside(self, why: str) -> States:
        aside = self.path.with_name(f"{self.path.name}.rejected")
        event(logging.WARNING, "state_rejected", path=str(self.path), why=why, moved_to=str(aside))
        try:
            self.path.replace(aside)
        except OSError as error:
            event(logging.WARNING, "state_not_moved", path=str(self.path), error=error.strerror)
        return {}


def _read(content: bytes) -> States:
    """The states in a file's content. Raises ValueError, which says in words what is wrong with it."""
    if len(content) > _MAX_BYTES:
        raise ValueError("larger than 256 MiB")
    header, _, body = content.partition(b"\n")
    try:
        head = orjson.loads(header)
        states = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("damaged: not JSON") from None
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise ValueError("of another version")
    if head.get("sha256") != hashlib.sha256(body).hexdigest():
        raise ValueError("damaged: the checksum does not fit")
    if not isinstance(states, dict) or not all(
        isinstance(engines, list) and all(isinstance(engine, dict) for engine in engines) for engines in states.values()
    ):
        raise ValueError("not a state of kvwatch")
    return states
