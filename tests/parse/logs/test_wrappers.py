"""What container runtimes put around lines comes off, and lines that they have split are whole again."""

from __future__ import annotations

import json

import pytest

from kvwatch.facts import RequestRecord
from kvwatch.parse.logs import LocalTime, LogFormat, LogReader
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES

LINE = json.dumps({"finish": 20.0, "arrival": 10.0, "prompt_tokens": 3, "completion_tokens": 2})
RECORD = RequestRecord(10.0, 20.0, 3, 2, source="log")
CRI = "2026-11-22T02:38:10.123456789Z stdout"
LOCAL = LocalTime()


def docker(text: str, stream: str = "stdout") -> str:
    """A line of Docker's json-file driver."""
    return json.dumps({"log": text, "stream": stream, "time": "2026-11-22T02:38:10.123456789Z"})


WRAPPED = {
    "cri": [f"{CRI} F {LINE}"],
    "cri in pieces": [f"{CRI} P {LINE[:9]}", f"{CRI} P {LINE[9:30]}", f"{CRI} F {LINE[30:]}"],
    "cri with tags": [f"{CRI} P:x {LINE[:9]}", f"{CRI} F:x:y {LINE[9:]}"],
    "cri with an offset": [f"2026-11-22T04:38:10.1+02:00 stderr F {LINE}"],
    "two streams in turn": [
        f"{CRI} P {LINE[:9]}",
        f"{CRI.replace('stdout', 'stderr')} F something else",
        f"{CRI} F {LINE[9:]}",
    ],
    "docker": [docker(LINE + "\n")],
    "docker in pieces": [docker(LINE[:9]), docker(LINE[9:] + "\n")],
    "docker, written otherwise": [docker(LINE + "\n").replace('{"log": ', '{"log":')],
    "nothing": [LINE],
}


@pytest.mark.parametrize("lines", WRAPPED.values(), ids=WRAPPED.keys())
def test_the_line_is_read_however_it_is_wrapped_and_cut_into_chunks(lines: list[str]) -> None:
    """Line by line, or all at once; and from a position in the middle, fed again what was unfinished."""
    whole = [line.encode() + b"\n" for line in lines]
    assert LogReader(LogFormat("kvwatch")).read(b"".join(whole), LOCAL).facts == [RECORD]
    for cut in range(len(whole) + 1):
        reader = LogReader(LogFormat("kvwatch"))
        before = b"".join(whole[:cut])
        first = reader.read(before, LOCAL)
        resumed = LogReader(LogFormat("kvwatch"))
        resumed.prime(before[len(before) - first.unfinished_bytes :])
        for second in (reader, resumed):
            assert first.facts + second.read(b"".join(whole[cut:]), LOCAL).facts == [RECORD]


def test_the_runtime_s_time_stands_in_for_one_that_the_line_does_not_tell() -> None:
    """It was written when the request ended."""
    line = json.dumps({"arrival": 1_795_315_080.0, "prompt_tokens": 3, "completion_tokens": 2})
    (record,) = LogReader(LogFormat("kvwatch")).read(f"{CRI} F {line}\n".encode(), LOCAL).facts
    assert isinstance(record, RequestRecord)
    assert record.finish == pytest.approx(1_795_315_090.123457, abs=1e-5)


@pytest.mark.parametrize("name", ["kvwatch", "vllm", "otel"])
def test_pieces_without_an_end_are_dropped_in_bounded_memory(name: str) -> None:
    """The line is counted when it ends, or forgotten where it never does; the next one is read."""
    reader = LogReader(LogFormat(name))
    piece = f"{CRI} P {'x' * 10_000}\n".encode()
    for _ in range(500):
        assert reader.read(piece, LOCAL).unfinished_bytes <= 3 * MAX_LINE_BYTES
    assert reader.read(f"{CRI} F x\n".encode(), LOCAL).results in ({"bad_wrapper": 1}, {"not_json": 1}, {"other": 1})
    if name == "kvwatch":
        assert reader.read(f"{CRI} F {LINE}\n".encode(), LOCAL).facts == [RECORD]


def test_a_line_that_only_looks_wrapped_is_a_line() -> None:
    """Docker's keys in a log of its own are its own."""
    reading = LogReader(LogFormat("kvwatch")).read(f'{{"log":"x", "other": 1}}\n{LINE}\n'.encode(), LOCAL)
    assert reading.facts == [RECORD]
    assert reading.results == {"no_time": 1, "request": 1}
