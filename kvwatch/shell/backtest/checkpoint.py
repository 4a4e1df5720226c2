"""The folder that a backtest works in: what was asked and found is written down, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from kvwatch import __version__
from kvwatch.shell.backtest.parts import write_json

_MANIFEST = "backtest.json"
SERVERS = "servers"
"""Under which the servers that were found are noted."""
_DIGITS = 12


class CheckpointError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class Checkpoint:
    """A folder for one question. ``asked`` is all that the answer depends on, as plain numbers, texts and lists."""

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder = folder
        self._asked = orjson.loads(orjson.dumps({**asked, "kvwatch": __version__}))
        self.found: dict[str, Any] = {}
        """What has been found so far."""
        self.resumed = False

    @classmethod
    def named(cls, parent: Path, asked: Mapping[str, Any]) -> Checkpoint:
        """A folder of a name that follows from the question, so that the same command finds it again."""
        digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return cls(parent / digest[:_DIGITS], asked)

    def open(self, found: Mapping[str, Any], *, fresh: bool) -> None:
        """Begin with what is ``found``, or go on with what was found when it began.

        Raises:
            CheckpointError: the folder is of another question, or cannot be written.
        """
        path = self.folder / _MANIFEST
        try:
            if fresh:
                self.remove()
            if path.is_file():
                document = orjson.loads(path.read_bytes())
                if document.get("asked") != self._asked:
                    raise CheckpointError(f"{self.folder} is of another backtest; name another folder, or give --fresh")
                if SERVERS in document["found"]:
                    self.resumed = True
                    self.found = dict(document["found"])
                    return
                # nothing had been read yet, so that nothing is lost by the times of now
                self.write(found)
                return
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise CheckpointError(f"{self.folder} holds something else; name another folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write(found)
        except OSError as error:
            raise CheckpointError(
                f"cannot use {self.folder}: {error.strerror or error}; give --checkpoint DIR"
            ) from None
        except ValueError:
            raise CheckpointError(f"{path} is damaged; give --fresh to begin again") from None

    def write(self, found: Mapping[str, Any]) -> None:
        """Note what has been found, whole or not at all."""
        self.found = dict(found)
        write_json(self.folder / _MANIFEST, {"asked": self._asked, "found": dict(found)})

    def remove(self) -> None:
        """Take the folder away, if it is one of a backtest."""
        if (self.folder / _MANIFEST).is_file():
            shutil.rmtree(self.folder, ignore_errors=True)
