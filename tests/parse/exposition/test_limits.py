"""Memory stays bounded, and what a limit leaves out is counted."""

from __future__ import annotations

import tracemalloc

import pytest

from kvwatch.facts import EngineKey, EngineSample
from kvwatch.parse.exposition import ExpositionReader, samples

GOOD = b'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
ENGINE = EngineSample(EngineKey("m", "0"), running=3.0)
CHUNK = b"x" * 65_536


@pytest.mark.parametrize(
    ("start", "bad"),
    [
        (b"vllm:num_requests_running{", 1),
        (b'vllm:num_requests_running{model_name="m"} ', 1),
        (b"\x01", 1),
        (b"# HELP ", 0),
        (b"other_family{", 0),
    ],
)
def test_an_endless_line_is_cut(start: bytes, bad: int) -> None:
    """A line without end holds no memory, counts once where it could have been wanted, and is over at its newline."""
    reader = ExpositionReader()
    reader.feed(start)
    tracemalloc.start()
    for _ in range(200):
        reader.feed(CHUNK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    scrape = reader.read(b"\n" + GOOD, at=0.0)
    assert (scrape.engines, scrape.bad_lines) == ((ENGINE,), bad)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("line", [GOOD.replace(b"3", b"0" * 20_000 + b"3"), GOOD.strip() + b" " * 20_000 + b"\n"])
def test_a_long_line_is_bad_however_it_arrives(line: bytes, warm: bool) -> None:
    """Whole or in pieces, known or new, a line over the limit is one bad line."""
    for size in (len(line), 1_000):
        reader = ExpositionReader()
        if warm:
            reader.read(GOOD, at=0.0)
        for start in range(0, len(line), size):
            reader.feed(line[start : start + size])
        assert reader.finish(at=0.0).bad_lines == 1


def test_a_body_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit on the body nothing more is taken; the line that was cut is not trusted."""
    monkeypatch.setattr(samples, "MAX_BODY_BYTES", len(GOOD) + 60)
    reader = ExpositionReader()
    second = GOOD.replace(b'"0"', b'"1"').replace(b" 3", b" " * 20 + b"34567")
    scrape = reader.read(GOOD + second + GOOD * 1000, at=0.0)
    assert scrape.engines == (ENGINE,)
    assert scrape.bad_lines == 2
    assert reader.read(GOOD, at=0.0).bad_lines == 0


def test_too_many_series_are_refused() -> None:
    """Series over the limit are counted; those known before stay."""
    reader = ExpositionReader(max_series=100)
    body = b"".join(b'vllm:num_requests_running{engine="%d",model_name="m"} 3\n' % n for n in range(150))
    for _ in range(3):
        assert len(reader.read(body, at=0.0).engines) == 100
        assert reader.dropped_series == 50
    assert reader.read(GOOD, at=0.0).engines == (ENGINE,)
    assert reader.dropped_series == 0


def test_new_series_take_the_room_of_those_that_are_gone() -> None:
    """A server restarted under another name is read at once, even if the old series had filled the room."""
    reader = ExpositionReader(max_series=100)
    for model in (b"a", b"b", b"c"):
        body = b"".join(b'vllm:num_requests_running{engine="%d",model_name="%b"} 3\n' % (n, model) for n in range(90))
        assert len(reader.read(body, at=0.0).engines) == 90
        assert reader.dropped_series == 0


def test_too_many_engines_are_left_out() -> None:
    """Engines over the limit are counted, the first in order stay, and the limit is 256 unless said."""
    body = b"".join(b'vllm:num_requests_running{engine="%d",model_name="m"} 3\n' % n for n in range(300))
    reader = ExpositionReader()
    engines = reader.read(body, at=0.0).engines
    assert [engine.key.engine for engine in engines] == [str(n) for n in range(256)]
    assert reader.dropped_engines == 44
    assert len(ExpositionReader(max_engines=3).read(body, at=0.0).engines) == 3


def test_ever_new_series_hold_no_memory() -> None:
    """A server whose every scrape shows other models and other unknown families does not grow its reader."""

    def body(number: int) -> bytes:
        name = b"%06d" % number * 20
        families = [b"family_%b_%d{} 1\n" % (name, line) for line in range(200)]
        engines = [b'vllm:num_requests_running{engine="%d",model_name="%b"} 3\n' % (n, name) for n in range(5)]
        return b"".join(families + engines)

    reader = ExpositionReader()
    held = []
    tracemalloc.start()
    for number in range(75):
        reader.read(body(number), at=0.0)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # what is remembered of unknown families is full after 21 rounds, and then begins again
    assert max(held[50:]) < 1.1 * max(held[:50])
