"""A log that writes numbered requests and is rotated in every way, and a source that reads it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvwatch.facts import RequestRecord
from kvwatch.parse.logs import LogFormat
from kvwatch.shell.tail.finder import SourceSettings
from kvwatch.shell.tail.positions import Positions
from kvwatch.shell.tail.source import LogSource

TARGET = "t"


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Name and fields of what was logged."""
    return [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]


def request(number: int) -> str:
    """A line of which the prompt's length is the number."""
    times = {"arrival": 1_750_000_000.0 + number, "finish": 1_750_000_001.0 + number}
    return json.dumps({**times, "prompt_tokens": number, "completion_tokens": 5, "status": 200})


@dataclass
class Log:
    """Writes lines with the numbers 1, 2, 3 and so on."""

    path: Path
    written: int = 0
    rotations: int = 0

    def write(self, lines: int = 3) -> None:
        """Append whole lines."""
        numbers = range(self.written + 1, self.written + lines + 1)
        with self.path.open("a") as file:
            file.writelines(request(number) + "\n" for number in numbers)
        self.written += lines

    def raw(self, content: bytes) -> None:
        """Append bytes."""
        with self.path.open("ab") as file:
            file.write(content)

    def aside(self) -> Path:
        """Another name for the next rotation."""
        self.rotations += 1
        return self.path.with_name(f"{self.path.name}.{self.rotations}")

    def rename(self) -> None:
        """Rotate as most programs do."""
        self.path.rename(self.aside())

    def copy_and_truncate(self) -> None:
        """Rotate as logrotate does with copytruncate."""
        shutil.copyfile(self.path, self.aside())
        os.truncate(self.path, 0)

    def delete(self) -> None:
        """Lose the file."""
        self.path.unlink()

    @property
    def all(self) -> list[int]:
        """Every number that was written."""
        return list(range(1, self.written + 1))


@dataclass
class Follower:
    """Reads a source as the daemon does, with the checkpoint of its last :meth:`save`."""

    settings: SourceSettings
    now: float = 0.0
    positions: Positions = field(default_factory=Positions)
    numbers: list[int] = field(default_factory=list)
    results: dict[str, int] = field(default_factory=dict)
    _source: LogSource | None = None
    _saved: tuple[object, list[int], dict[str, int]] | None = None

    def start(self) -> None:
        """As at the start of the process."""
        marks = self.positions.of(TARGET, self.settings.key)
        self._source = LogSource(self.settings, marks, clock=lambda: 1_750_000_000.0, monotonic=lambda: self.now)

    def read(self, rounds: int = 1) -> list[int]:
        """All that is there; the numbers read so far, in order."""
        if self._source is None:
            self.start()
        assert self._source is not None
        for _ in range(rounds):
            while (batch := self._source.step()) is not None:
                self.numbers += [fact.prompt_tokens for fact in batch.reading.facts if isinstance(fact, RequestRecord)]
                for result, lines in batch.reading.results.items():
                    self.results[result] = self.results.get(result, 0) + lines
                self.positions.update(TARGET, self.settings.key, batch.marks)
            self.positions.update(TARGET, self.settings.key, {})
        return self.numbers

    def save(self) -> None:
        """Write a checkpoint: positions and what was read, of one instant."""
        self._saved = json.loads(json.dumps(self.positions.dump())), list(self.numbers), dict(self.results)

    def crash(self) -> None:
        """Lose everything since the checkpoint, and start again."""
        assert self._source is not None
        assert self._saved is not None
        self._source.close()
        self.positions = Positions()
        dumped, self.numbers, self.results = self._saved[0], list(self._saved[1]), dict(self._saved[2])
        self.positions.restore(dumped)
        self.start()

    def end(self) -> None:
        """Close all files."""
        if self._source is not None:
            self._source.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log in a folder of its own."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return Log(folder / "access.log")


@pytest.fixture
def follower(log: Log) -> Iterator[Follower]:
    """Follows the log by its name."""
    follower = Follower(SourceSettings(str(log.path), LogFormat("kvwatch")))
    yield follower
    follower.end()


@pytest.fixture
def globbing(log: Log) -> Iterator[Follower]:
    """Follows the log and all that its rotations leave, by a glob."""
    follower = Follower(SourceSettings(str(log.path) + "*", LogFormat("kvwatch")))
    yield follower
    follower.end()
