"""Logs that are rotated several times between two looks: the files in between are found and read, each line once."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from kvwatch.shell.tail.generations import Generations
from kvwatch.shell.tail.source import FAST_SECONDS
from tests.shell.tail.conftest import Follower, Log, events


def shift(log: Log) -> None:
    """Rotate as logrotate does: .1 becomes .2, and the log .1."""
    names = [log.path, *(log.path.with_name(f"{log.path.name}.{number}") for number in range(1, 9))]
    for older, newer in reversed(list(zip(names[1:], names[:-1], strict=True))):
        if newer.exists():
            newer.rename(older)


@pytest.mark.parametrize("rotate", [Log.rename, shift], ids=["dated", "numbered"])
@pytest.mark.parametrize("rotations", [2, 3, 5])
def test_files_that_had_the_name_between_two_looks_are_read_in_order(
    log: Log, follower: Follower, rotate: object, rotations: int
) -> None:
    """Three rounds of several rotations each, with lines before, between and after."""
    log.write()
    follower.read()
    for _ in range(3):
        for _ in range(rotations):
            log.write(4)
            rotate(log)  # type: ignore[operator]
        log.write(2)
        follower.now += 0.5
        follower.read(rounds=2)
    assert follower.numbers == log.all[3:]


def test_what_was_rotated_away_before_the_first_look_is_not_read(log: Log, follower: Follower) -> None:
    """Old files are there when kvwatch starts, and had their time."""
    for _ in range(3):
        log.write()
        log.rename()
    log.write(0)
    follower.read()
    log.write()
    log.rename()
    log.write()
    assert follower.read(rounds=2) == log.all[9:]


@pytest.mark.parametrize("name", ["access.log2", "access2.log", "other.log", "access", "access.log.old.d"])
def test_other_files_of_the_folder_are_none_of_its_rotations(log: Log, follower: Follower, name: str) -> None:
    """Only names that a rotation gives, and only files."""
    log.write(0)
    follower.read()
    other = Log(log.path.with_name(name))
    if name.endswith(".d"):
        other.path.mkdir()
    else:
        other.write(5)
    log.write()
    log.rename()
    log.write()
    assert follower.read(rounds=2) == log.all


def test_compressed_files_and_links_among_them_are_not_read(log: Log, follower: Follower, tmp_path: Path) -> None:
    """A compressed rotation has been read under its name; a link may lead anywhere."""
    log.write(0)
    follower.read()
    log.write()
    log.rename()
    log.path.with_name("access.log.7.gz").write_bytes(gzip.compress(log.path.with_name("access.log.1").read_bytes()))
    secret = Log(tmp_path / "secret")
    secret.write(4)
    log.path.with_name("access.log.8").symlink_to(secret.path)
    log.write()
    assert follower.read(rounds=2) == log.all


def test_rotations_too_fast_to_follow_are_said_and_looked_at_more_often(
    log: Log, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is deleted before it is seen cannot be read, and nothing else would tell of it."""
    log.write(0)
    follower.read()
    assert follower._source is not None
    assert not follower._source.rotates_fast()
    for _ in range(3):
        log.write()
        log.rename()
        log.write()
        follower.now += 0.5
        follower.read()
    assert follower._source.rotates_fast()
    assert "log_rotates_fast" in [name for name, _ in events(caplog)]
    follower.now += FAST_SECONDS
    assert not follower._source.rotates_fast()


def test_the_folder_is_read_only_where_the_path_is_another_file(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a log that is not rotated costs no more than before."""
    log.write()
    status = log.path.stat()
    generations = Generations(log.path)
    generations.missed((status.st_dev, status.st_ino))
    scans = []
    monkeypatch.setattr(os, "scandir", scans.append)
    generations.missed((status.st_dev, status.st_ino))
    generations.missed(None)
    assert scans == []
