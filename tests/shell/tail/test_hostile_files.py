"""Files that are no logs, lines that are no lines, paths that may not be read: the tail goes on, in little memory."""

from __future__ import annotations

import logging
import os
import tracemalloc
from pathlib import Path

import pytest

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.logs import LogFact, LogFormat
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES
from kvwatch.shell.tail.finder import SourceSettings
from kvwatch.shell.tail.positions import Marks
from kvwatch.shell.tail.source import LogSource
from tests.shell.tail.conftest import Follower, Log, events, request


def test_a_line_of_megabytes_is_passed_over_and_counted_while_memory_stays_flat(log: Log, follower: Follower) -> None:
    """What comes after it is read; a restart in the middle of it changes nothing."""
    log.write(0)
    follower.read()
    follower.save()
    tracemalloc.start()
    for _ in range(40):
        log.raw(b"x" * MAX_LINE_BYTES)
        follower.read()
        follower.save()
    follower.crash()
    log.raw(b"\n")
    log.write()
    assert follower.read() == log.all
    assert follower.results == {"too_long": 1, "request": 3}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MAX_LINE_BYTES


def test_two_overlong_lines_of_which_the_second_comes_in_parts_are_two(log: Log, follower: Follower) -> None:
    """The rest of the second is not taken for a line."""
    log.write(0)
    follower.read()
    long = b"x" * (MAX_LINE_BYTES + 1)
    log.raw(long + b"\n" + long)
    follower.read()
    log.raw(request(7).encode() + b"\n")
    log.write()
    assert follower.read() == log.all
    assert follower.results == {"too_long": 2, "request": 3}


def test_a_line_of_hundreds_of_megabytes_does_not_keep_other_files_waiting(tmp_path: Path) -> None:
    """It is passed over in parts, between which others have their turn."""
    with (tmp_path / "a.log").open("wb") as file:
        file.write(b"x" * 2 * MAX_LINE_BYTES)
        file.truncate(200 << 20)  # a hole within the line
    (tmp_path / "b.log").write_text(request(1) + "\n")
    source = LogSource(
        SourceSettings(str(tmp_path / "*.log"), LogFormat("kvwatch"), from_beginning=True),
        None,
        clock=lambda: 0.0,
        monotonic=lambda: 0.0,
    )
    order = []
    while (batch := source.step()) is not None:
        order.append(Path(batch.path).name)
    source.close()
    assert "a.log" in order[: order.index("b.log")]
    assert len(order) > 5


def test_a_writer_that_does_not_append_leaves_a_hole_that_costs_no_line(log: Log, follower: Follower) -> None:
    """After a truncation it goes on where it was, and the file begins with zeros."""
    with log.path.open("w") as file:
        follower.read()
        for number in range(1, 201):
            file.write(request(number) + "\n")
            if number == 100:
                file.flush()
                assert follower.read() == list(range(1, 101))
                os.truncate(log.path, 0)
        file.flush()
        assert log.path.read_bytes().startswith(b"\0")
        assert follower.read(2) == list(range(1, 201))
    assert follower.results == {"request": 200}


def test_a_partial_line_waits_for_its_end(log: Log, follower: Follower) -> None:
    """However it is cut, within a character too."""
    log.write(0)
    follower.read()
    line = request(1)[:-1] + ', "who": "Zoë"}\n'
    for byte in line.encode():
        assert follower.read() == []
        log.raw(bytes([byte]))
    assert follower.read() == [1]
    assert follower.results == {"request": 1}


def test_invalid_utf8_and_binary_lines_are_refused_one_by_one(log: Log, follower: Follower) -> None:
    """The lines around them count."""
    log.write(0)
    follower.read()
    log.write(1)
    log.raw(b'{"status": "\xff\xfe"}\n\x00\x01\x02\n[1]\n\n\r\n')
    log.write(1)
    assert follower.read() == [1, 2]
    assert follower.results == {"request": 2, "not_json": 2, "wrong_type": 1}


def test_a_named_pipe_is_read_while_someone_writes_and_survives_that_nobody_does(tmp_path: Path) -> None:
    """Writers come and go; a line may come in pieces."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    follower = Follower(SourceSettings(str(path), LogFormat("kvwatch")))
    assert follower.read() == []
    for number in (1, 2):
        with path.open("wb", buffering=0) as pipe:
            line = request(number).encode() + b"\n"
            pipe.write(line[:20])
            follower.read()
            pipe.write(line[20:])
            follower.read()
        follower.read()
    assert follower.numbers == [1, 2]
    with path.open("wb", buffering=0) as pipe:
        for _ in range(40):
            pipe.write(b"y" * 60_000)
            follower.read()
        pipe.write(b"\n" + request(3).encode() + b"\n")
        assert follower.read() == [1, 2, 3]
    assert follower.results == {"request": 3, "too_long": 1}
    follower.end()


def test_a_file_that_cannot_be_opened_is_told_once_and_read_when_it_can(
    log: Log, follower: Follower, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where permission is missing, also for root."""
    log.write()
    real = os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        if str(path) == str(log.path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with caplog.at_level(logging.WARNING):
        follower.read(rounds=3)
    assert [fields["why"] for name, fields in events(caplog) if name == "log_unreadable"] == ["Permission denied"]
    monkeypatch.setattr(os, "open", real)
    assert follower.read() == log.all


def test_a_folder_and_a_socket_are_not_logs(tmp_path: Path) -> None:
    """A glob may match them."""
    (tmp_path / "a.log").mkdir()
    (tmp_path / "b.log").write_text(request(1) + "\n")
    follower = Follower(SourceSettings(str(tmp_path / "*.log"), LogFormat("kvwatch"), from_beginning=True))
    assert follower.read() == [1]
    follower.end()


def test_files_that_come_later_are_read_from_their_beginning_and_those_at_the_start_from_their_end(
    tmp_path: Path,
) -> None:
    """A line that is being written at the start counts once it is whole."""
    (tmp_path / "old.log").write_text(request(1) + "\n" + request(2)[:30])
    follower = Follower(SourceSettings(str(tmp_path / "**/*.log"), LogFormat("kvwatch")))
    follower.read()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "new.log").write_text(request(3) + "\n")
    with (tmp_path / "old.log").open("a") as file:
        file.write(request(2)[30:] + "\n")
    assert sorted(follower.read()) == [2, 3]
    follower.end()


def test_a_file_whose_inode_is_used_again_is_begun_anew(log: Log, follower: Follower) -> None:
    """A checkpoint's inode may be another file's after a restart: what a file begins with tells."""
    log.write(0)
    follower.read()
    log.write()
    follower.read()
    follower.save()
    follower.end()
    log.path.write_text("")  # the same inode
    log.written = 100
    log.write(20)
    follower.crash()
    assert follower.read()[3:] == list(range(101, 121))


def test_a_vllm_server_s_settings_are_found_though_its_log_is_followed_from_the_end(tmp_path: Path) -> None:
    """What it told when it started is looked up; the steps before the start are not counted."""
    line = "(APIServer pid=1) INFO 11-22 02:37:33 [utils.py:286] non-default args: {'max_num_seqs': 12}\n"
    step = (
        "(EngineCore pid=2) INFO 11-22 02:37:40 [core.py:1] Iteration(7): 1 context requests, 2 context tokens, "
        "3 generation requests, 3 generation tokens, iteration elapsed time: 1.00 ms\n"
    )
    path = tmp_path / "vllm.log"
    path.write_text(line + step)
    source = LogSource(
        SourceSettings(str(path), LogFormat("vllm")), None, clock=lambda: 1_795_315_070.0, monotonic=lambda: 0.0
    )
    batches = []
    while (batch := source.step()) is not None:
        batches.append(batch)
    source.close()
    assert [fact for batch in batches for fact in batch.reading.facts] == [
        Settings(12, source=SettingSource.LOG, complete=True)
    ]
    assert [batch.reading.results for batch in batches if batch.reading.results] == []


def start_line(seats: int) -> str:
    """What a server tells when it starts."""
    return f"(APIServer pid=1) INFO 11-22 02:37:33 [utils.py:286] non-default args: {{'max_num_seqs': {seats}}}\n"


def settings_found(path: Path, marks: Marks | None = None) -> tuple[list[LogFact], Marks]:
    """Facts from a log of vLLM that is followed from its end, or from marks; and the marks afterwards."""
    source = LogSource(
        SourceSettings(str(path), LogFormat("vllm")), marks, clock=lambda: 1_795_315_070.0, monotonic=lambda: 0.0
    )
    facts: list[LogFact] = []
    marks = dict(marks or {})
    while (batch := source.step()) is not None:
        facts += batch.reading.facts
        marks |= {key: mark for key, mark in batch.marks.items() if mark is not None}
    source.close()
    return facts, marks


@pytest.mark.parametrize("between", [10, 3 << 20], ids=["near", "far"])
@pytest.mark.parametrize("after", [10, 3 << 20], ids=["lately", "long ago"])
def test_of_several_starts_in_one_log_the_last_counts(tmp_path: Path, between: int, after: int) -> None:
    """A log that is appended to holds the starts of servers that are long gone."""
    path = tmp_path / "vllm.log"
    filler = "INFO 11-22 02:38:00 [loggers.py:1] nothing\n"
    path.write_text(start_line(64) + filler * (between // 40) + start_line(128) + filler * (after // 40))
    assert settings_found(path)[0] == [Settings(128, source=SettingSource.LOG, complete=True)]


def test_a_prompt_that_holds_the_words_of_a_start_is_none(tmp_path: Path) -> None:
    """The start before it is found."""
    prompt = (
        "INFO 11-22 02:38:00 [logger.py:39] Received request a: prompt: \"non-default args: {'max_num_seqs': 1}\"\n"
    )
    path = tmp_path / "vllm.log"
    path.write_text("nothing\n" * 100_000 + start_line(128) + "nothing\n" * 100_000 + prompt * 3)
    assert settings_found(path)[0] == [Settings(128, source=SettingSource.LOG, complete=True)]


def test_after_a_restart_of_kvwatch_an_old_start_tells_nothing_new(tmp_path: Path) -> None:
    """What the last one told is in the checkpoint, with the position; what came meanwhile is read."""
    path = tmp_path / "vllm.log"
    path.write_text(start_line(64))
    found, marks = settings_found(path)
    assert found == [Settings(64, source=SettingSource.LOG, complete=True)]
    assert settings_found(path, marks)[0] == []
    path.write_text(start_line(64) + start_line(128))
    assert settings_found(path, marks)[0] == [Settings(128, source=SettingSource.LOG, complete=True)]
