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
            if self.path.stat().st_size > _MAX_BYTES:
                return self._set_aside("larger than 256 MiB")
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            event(logging.WARNING, "state_unreadable", path=str(self.path), error=error.strerror)
            return {}
        header, _, body = content.partition(b"\n")
        try:
            head = orjson.loads(header)
            if not isinstance(head, dict) or head.get("version") != VERSION:
                return self._set_aside("of another version")
            if head.get("sha256") != hashlib.sha256(body).hexdigest():
                return self._set_aside("damaged: the checksum does not fit")
            states = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._set_aside("damaged: not JSON")
        fits = isinstance(states, dict) and all(
            isinstance(engines, list) and all(isinstance(engine, dict) for engine in engines)
            for engines in states.values()
        )
        return states if fits else self._set_aside("not a state of kvwatch")

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
