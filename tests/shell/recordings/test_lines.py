"""What can be read of a damaged file is read, and every damage is reported."""

from __future__ import annotations

import gzip
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.shell.recordings import lines
from kvwatch.shell.recordings.lines import read_lines


def read(path: Path) -> tuple[list[bytes], list[str]]:
    """The lines of a file, and what was reported."""
    reports: list[str] = []
    return [line for _, line in read_lines(path, reports.append)], reports


def write(folder: Path, content: bytes) -> Path:
    """A file with this content."""
    path = folder / "scrapes.jsonl.gz"
    path.write_bytes(content)
    return path


def members(*parts: bytes) -> bytes:
    """A row of gzip members."""
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_packed_files_read_alike(tmp_path: Path, pack: type[bytes]) -> None:
    """The content decides, not the name; empty lines are skipped and a last line needs no end."""
    path = write(tmp_path, pack(b"one\n\ntwo\nthree"))
    reports: list[str] = []
    assert list(read_lines(path, reports.append)) == [(1, b"one"), (3, b"two"), (4, b"three")]
    assert reports == []


def test_a_row_of_members_is_one_file(tmp_path: Path) -> None:
    """Members may end anywhere, within a line too."""
    assert read(write(tmp_path, members(b"on", b"e\ntw", b"o\n"))) == ([b"one", b"two"], [])


def test_a_file_that_is_cut_off_is_read_up_to_the_cut(tmp_path: Path) -> None:
    """As a killed recorder or a broken copy leaves it."""
    whole = members(b"one\n") + members(random.Random(1).randbytes(5000).hex().encode() + b"\n")
    found, reports = read(write(tmp_path, whole[:-100]))
    assert found[0] == b"one"
    assert reports == ["scrapes.jsonl.gz: the file is cut off; its last scrapes may be missing"]


def test_damage_costs_the_member_it_is_in(tmp_path: Path) -> None:
    """The members before and after it are read; the line that the damage cut is not joined to the next."""
    first, broken, last = members(b"one\n"), bytearray(members(b"two " * 400 + b"\n")), members(b"three\n")
    broken[20:30] = b"\xff" * 10
    found, reports = read(write(tmp_path, first + bytes(broken) + last))
    assert (found[0], found[-1]) == (b"one", b"three")
    assert reports[0] == "scrapes.jsonl.gz: damaged compressed data; going on at the next readable part"


def test_a_member_far_behind_the_damage_is_found(tmp_path: Path) -> None:
    """The search goes on over many reads of the file, also where the member's beginning lies across two."""
    for gap in (lines._READ_BYTES * 2, lines._READ_BYTES - 12, lines._READ_BYTES - 1, lines._READ_BYTES - 2):
        junk = b"\x1f\x8b\x08" + b"\xff" * gap
        found, reports = read(write(tmp_path, junk + members(b"three\n")))
        assert (found[-1], len(reports)) == (b"three", 1)


def test_a_line_beyond_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the lines around it are read."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(lines, "_READ_BYTES", 100)
    found, reports = read(write(tmp_path, b"one\n" + b"x" * 5000 + b"\nthree\n"))
    assert found == [b"one", b"three"]
    assert reports == ["scrapes.jsonl.gz:2: longer than 1000 bytes; skipped"]


def test_an_unpacked_line_beyond_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of kilobytes that unpacks to gigabytes is not held in memory."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1 << 16)
    found, reports = read(write(tmp_path, gzip.compress(b"one\n" + b"x" * (1 << 24) + b"\nthree\n")))
    assert found == [b"one", b"three"]
    assert len(reports) == 1


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_any_damage_ends_in_lines_and_reports(damage: bytes, place: int, overwrite: bool) -> None:
    """No content raises, and none is read twice."""
    whole = members(b"one\n", b"two\n" * 50, b"three\n")
    place %= len(whole)
    content = whole[:place] + damage + whole[place + (len(damage) if overwrite else 0) :]
    with tempfile.TemporaryDirectory() as folder:
        found, _ = read(write(Path(folder), content))
    assert found.count(b"three") <= 1 + content.count(b"three")
