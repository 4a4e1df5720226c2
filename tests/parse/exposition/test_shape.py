"""Knowing a scrape by the beginnings of its lines gives what reading each line gives."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.facts import Scrape
from kvwatch.parse.exposition import ExpositionReader, samples, shape
from tests.parse.exposition.test_laws import BUSY, quick, small_scrapes

LINE = b'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
START = b"process_start_time_seconds 1790000000.5\n"


def _read(body: bytes) -> Scrape:
    return ExpositionReader().read(body, at=1.0)


def _changed(body: bytes, how: str, rng: random.Random) -> bytes:
    """The body with one line changed as a server, a proxy or an attacker may change it."""
    lines = body.split(b"\n")
    number = rng.randrange(len(lines))
    key, _, value = lines[number].rpartition(b" ")
    match how:
        case "gone":
            del lines[number]
        case "again":
            lines.insert(number, rng.choice(lines))
        case "stamped":
            lines[number] += b" 1790000000000"
        case "exemplar":
            lines[number] += b' # {trace_id="1"} 0.5'
        case "wide":
            lines[number] = key + b"  " + value
        case "indented":
            lines[number] = b" " + lines[number]
        case "labelled":
            lines[number] = key + b' {engine="7"} ' + value
        case "long":
            lines[number] = key + b" " + b"0" * 40 + value
        case "blank":
            lines.insert(number, b"")
        case _:
            lines[number] = key + b" " + how.encode()
    return b"\n".join(lines)


CHANGES = st.sampled_from(
    [
        "gone",
        "again",
        "stamped",
        "exemplar",
        "wide",
        "indented",
        "labelled",
        "long",
        "blank",
        "NaN",
        "+Inf",
        "-1",
        "1_0",
        "x",
        "17",
    ]
)


@settings(quick, max_examples=60)
@given(
    body=small_scrapes,
    changes=st.lists(st.tuples(CHANGES, st.integers(0, 2**32)), max_size=3),
    cuts=st.lists(st.floats(0, 1), max_size=3),
)
def test_a_change_after_any_number_of_like_scrapes_is_read(
    body: bytes, changes: list[tuple[str, int]], cuts: list[float]
) -> None:
    """Whatever a line turns into once the scrape is known by heart, it is read as by a reader that knows nothing."""
    reader = ExpositionReader()
    for how, seed in changes:
        for _ in range(2):
            assert reader.read(body, at=1.0) == _read(body)
        changed = _changed(body, how, random.Random(seed))
        places = [0, *sorted(int(cut * len(changed)) for cut in cuts), len(changed)]
        for start, stop in pairwise(places):
            reader.feed(changed[start:stop])
        assert reader.finish(at=1.0) == _read(changed)
    assert reader.read(body, at=1.0) == _read(body)


def test_a_known_scrape_is_not_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second scrape on only the numbers are looked at; a new line costs two scrapes read as before."""
    slow: list[int] = []
    take = samples.SampleReader._take

    def counted(reader: samples.SampleReader, lines: list[bytes]) -> None:
        slow.append(len(lines))
        take(reader, lines)

    monkeypatch.setattr(samples.SampleReader, "_take", counted)
    reader = ExpositionReader()
    read = []
    for body in (BUSY, BUSY, BUSY, LINE + BUSY, LINE + BUSY, LINE + BUSY, LINE + BUSY):
        slow.clear()
        reader.read(body, at=1.0)
        read.append(bool(slow))
    assert read == [True, False, False, True, True, False, False]


def test_the_blank_after_a_bare_name_may_be_followed_by_labels() -> None:
    """A name without labels that has some, after a blank, is another series."""
    reader = ExpositionReader()
    for _ in range(3):
        assert reader.read(START + LINE, at=1.0).process_start == 1790000000.5
    odd = b'process_start_time_seconds {pid="7"} 5\n' + LINE
    assert reader.read(odd, at=1.0) == _read(odd)
    assert reader.read(START + LINE, at=1.0) == _read(START + LINE)


def test_shapes_over_the_limits_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with too many lines, or too long ones, is read line by line and costs no memory for its shape."""
    families = b"".join(b"family_%d%b{} 1\n" % (n, b"x" * 200) for n in range(3_000))
    held = []
    for limit in (shape.MAX_BYTES, 10_000):
        monkeypatch.setattr(shape, "MAX_BYTES", limit)
        reader = ExpositionReader()
        tracemalloc.start()
        for _ in range(2):
            assert reader.read(families + LINE, at=1.0) == _read(LINE)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[1] < held[0] - 500_000
    monkeypatch.setattr(shape, "MAX_LINES", 2)
    assert reader.read(BUSY, at=1.0) == _read(BUSY)
