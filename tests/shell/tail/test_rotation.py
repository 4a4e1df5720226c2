"""Whatever happens to a log's name, each of its lines is read once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kvwatch.shell.tail.source import GRACE_SECONDS
from tests.shell.tail.conftest import Follower, Log

ROTATIONS = {"rename": Log.rename, "copy and truncate": Log.copy_and_truncate}
BOTH = pytest.mark.parametrize("fixture", ["follower", "globbing"])
ROTATED = pytest.mark.parametrize("rotate", ROTATIONS.values(), ids=ROTATIONS.keys())


@pytest.fixture
def reading(fixture: str, request: pytest.FixtureRequest) -> Follower:
    """Either way of following."""
    found = request.getfixturevalue(fixture)
    assert isinstance(found, Follower)
    return found


@BOTH
@ROTATED
def test_lines_that_were_not_read_before_a_rotation_are_read_after_it(
    log: Log, reading: Follower, rotate: Callable[[Log], None]
) -> None:
    """Those of the old file first."""
    log.write()
    reading.read()
    log.write()
    reading.read()
    log.write()
    rotate(log)
    log.write()
    assert reading.read() == log.all[3:]
    for _ in range(3):
        log.write()
        rotate(log)
        log.write(2)
        reading.now += 1
        reading.read()
    assert reading.numbers == log.all[3:]


@BOTH
@ROTATED
@pytest.mark.parametrize("moment", ["before", "after", "both"])
def test_a_rotation_while_kvwatch_is_down_loses_and_doubles_nothing(
    log: Log, reading: Follower, rotate: Callable[[Log], None], moment: str
) -> None:
    """The checkpoint finds the old file under its new name, or its copy, and reads on there."""
    log.write(0)
    reading.read()
    log.write()
    reading.read()
    reading.save()
    log.write()
    if moment in {"before", "both"}:
        reading.read()  # read after the checkpoint: to be read again
    rotate(log)
    log.write()
    if moment in {"after", "both"}:
        reading.read()
    reading.crash()
    assert sorted(reading.read(rounds=2)) == log.all


def test_a_file_that_is_deleted_and_written_again_is_read_to_its_end_and_from_its_beginning(
    log: Log, follower: Follower
) -> None:
    """What was written to it last is read, since it is still open."""
    log.write(0)
    follower.read()
    log.write()
    follower.read()
    log.write()
    log.delete()
    log.write()
    assert follower.read() == log.all


@pytest.mark.parametrize(("rest", "level"), [(b"", "INFO"), (b'{"arrival": 17', "WARNING")])
def test_a_file_that_is_gone_after_a_restart_is_warned_of_only_where_something_is_lost(
    log: Log, follower: Follower, caplog: pytest.LogCaptureFixture, rest: bytes, level: str
) -> None:
    """One that had been read to its end is told as well, for nobody knows what came later; but that is no fault."""
    caplog.set_level("INFO")
    log.write()
    follower.read()
    log.write()
    log.raw(rest)
    follower.read()
    follower.save()
    log.delete()
    follower.crash()
    follower.read()
    assert [record.levelname for record in caplog.records if record.getMessage() == "log_gone"] == [level]


def test_a_checkpoint_without_the_later_fields_of_a_position_is_read(log: Log, follower: Follower) -> None:
    """An update of kvwatch reads no line twice and passes over none."""
    log.write()
    follower.read()
    log.write()
    follower.read()
    dumped = follower.positions.dump()
    for mark in dumped["t"][follower.settings.key]:
        del mark["at_end"]
    follower.positions.restore(dumped)
    follower.end()
    follower.start()
    log.write()
    assert follower.read() == log.all[-len(follower.numbers) :]
    assert follower.numbers[-3:] == [7, 8, 9]


def test_a_program_may_go_on_writing_to_the_file_that_was_renamed(log: Log, follower: Follower) -> None:
    """Until it opens the new one, which it does within the grace."""
    log.write(0)
    follower.read()
    with log.path.open("a") as file:
        log.rename()
        follower.read()
        for number in (1, 2):
            follower.now += GRACE_SECONDS / 2
            file.write(request_line(number))
            file.flush()
            log.written = number
            assert follower.read() == log.all


def request_line(number: int) -> str:
    """A line with its end."""
    from tests.shell.tail.conftest import request  # noqa: PLC0415 - pytest has a fixture of that name

    return request(number) + "\n"


def test_the_last_line_of_a_finished_file_needs_no_end(log: Log, follower: Follower) -> None:
    """A process that was killed has not written it."""
    log.write(0)
    follower.read()
    log.raw(request_line(1).rstrip().encode())
    assert follower.read() == []
    log.rename()
    follower.read()
    follower.now += GRACE_SECONDS + 1
    assert follower.read() == [1]


def test_a_copy_that_grows_while_it_is_made_is_not_taken_for_a_new_log(log: Log, globbing: Follower) -> None:
    """Neither empty, nor with its first bytes, nor when it is whole; then the truncation is followed."""
    log.write(0)
    globbing.read()
    log.write(20)
    globbing.read()
    log.write(5)
    content = log.path.read_bytes()
    aside = log.aside()
    for length in (0, 10, 200, 2000, len(content)):
        aside.write_bytes(content[:length])
        globbing.now += 1
        globbing.read()
    log.path.write_bytes(b"")
    log.write(5)
    assert globbing.read(rounds=2) == log.all


def test_a_compressed_rotation_is_not_read(log: Log, globbing: Follower) -> None:
    """The glob matches it, and its content has been read before."""
    log.write(0)
    globbing.read()
    log.write()
    globbing.read()
    log.rename()
    log.path.with_name("access.log.1").unlink()
    log.path.with_name("access.log.1.gz").write_bytes(b"\x1f\x8b\x08" + bytes(range(256)))
    log.write()
    globbing.read(rounds=2)
    assert globbing.numbers == log.all
    assert set(globbing.results) == {"request"}


@pytest.mark.parametrize("fixture", ["follower", "globbing"])
@pytest.mark.parametrize("seed", range(8))
def test_any_history_of_writes_rotations_and_crashes_loses_and_doubles_nothing(
    log: Log, reading: Follower, seed: int
) -> None:
    """As long as something of a file has been read, and saved, before it is rotated: by that its copy is known."""
    chance = random.Random(seed)
    log.write(0)
    reading.read()
    log.write()
    reading.read()
    reading.save()
    for _ in range(120):
        reading.now += chance.choice([0.5, 0.5, 7.0])
        event = chance.choice(["write", "write", "write", "read", "read", "rename", "copy", "save", "crash"])
        if event == "write":
            log.write(chance.randint(1, 40))
        elif event == "read":
            reading.read()
        elif event == "rename" and log.path.exists():
            log.rename()
            log.write(chance.randint(1, 4))
            reading.read()
            reading.save()
        elif event == "copy" and log.path.stat().st_size:
            log.copy_and_truncate()
            log.write(chance.randint(1, 4))
            reading.read()
            reading.save()
        elif event == "save":
            reading.save()
        elif event == "crash":
            reading.crash()
    reading.read(rounds=3)
    assert sorted(reading.numbers) == log.all
