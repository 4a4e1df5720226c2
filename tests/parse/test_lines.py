"""One line of a request log or of a recording: a fact, or a refusal with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.facts import EngineKey, EngineSample, Rejected, RequestRecord, Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.recording import recorded_scrape
from kvwatch.parse.requestlog import request_record

RECORDINGS = sorted((Path(__file__).parent.parent / "data" / "recordings").glob("*/"))
MODEL_NAMES = {"moe-decode": "gw-prod-1", "moe-chat": "gw-prod-2", "incident": "small"}
REQUEST = {"arrival": 10.5, "finish": 12.25, "prompt_tokens": 30, "completion_tokens": 4, "status": 200}


def _line(**changes: object) -> bytes:
    return json.dumps(REQUEST | changes).encode() + b"\n"


def test_a_request_that_completed() -> None:
    """Status 200 is a completed request, and so is none; more keys do not matter."""
    expected = RequestRecord(10.5, 12.25, 30, 4, completed=True)
    assert request_record(_line()) == request_record(_line(user="x", n=[1, {}])) == expected
    without = {name: value for name, value in REQUEST.items() if name != "status"}
    assert request_record(json.dumps(without)) == expected


@pytest.mark.parametrize("status", [0, -1, 500])
def test_a_request_that_did_not_complete(status: int) -> None:
    """Any other status is an arrival without a completion."""
    record = request_record(_line(status=status))
    assert isinstance(record, RequestRecord)
    assert not record.completed


def test_cached_tokens_are_kept() -> None:
    """A log that says how much of the prompt was cached is believed up to the prompt's length."""
    record = request_record(_line(cached_tokens=30))
    assert isinstance(record, RequestRecord)
    assert record.cached_tokens == 30
    assert request_record(_line(cached_tokens=31), "log:2") == Rejected("bad_tokens", "log:2")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        ("\ud800", "not_json"),
        (b"[" * 100_000, "not_a_request"),
        (b'{"a":' + b"[" * 100_000, "not_json"),
        (b"[]", "not_a_request"),
        (b"{}", "not_a_request"),
        (_line(arrival="10"), "not_a_request"),
        (_line(arrival=None), "not_a_request"),
        (_line(prompt_tokens=1.5), "not_a_request"),
        (_line(prompt_tokens=True), "not_a_request"),
        (_line(finish=10.0), "bad_time"),
        (_line(prompt_tokens=-1), "bad_tokens"),
        (_line(completion_tokens=2**60), "bad_tokens"),
        (b" " * 2_000_000, "too_long"),
    ],
)
def test_a_line_that_is_no_request(line: bytes | str, reason: str) -> None:
    """Each way to be wrong has its word, and the place comes back."""
    assert request_record(line, "requests.jsonl:7") == Rejected(reason, "requests.jsonl:7")


@settings(max_examples=100, deadline=None)
@given(line=st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_no_line_raises(line: bytes | str) -> None:
    """Whatever a line holds, it is refused, not raised."""
    assert isinstance(request_record(line), Rejected)
    assert isinstance(recorded_scrape(line, ExpositionReader()), Rejected)


LOGGED = [folder for folder in RECORDINGS if (folder / "requests.jsonl").exists()]


@pytest.mark.parametrize("folder", LOGGED, ids=lambda folder: folder.name)
def test_every_recorded_request_is_read(folder: Path) -> None:
    """No line of the real logs is refused."""
    records = [request_record(line) for line in (folder / "requests.jsonl").read_bytes().splitlines()]
    assert len(records) > 500
    assert all(isinstance(record, RequestRecord) for record in records)


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda folder: folder.name)
def test_every_recorded_scrape_is_read(folder: Path) -> None:
    """Every scrape of the real servers shows their one engine and has no bad line; counters only rise."""
    reader = ExpositionReader()
    last = -1.0
    with gzip.open(folder / "scrapes.jsonl.gz", "rb") as lines:
        for line in lines:
            scrape = recorded_scrape(line, reader)
            assert isinstance(scrape, Scrape)
            assert scrape.bad_lines == 0
            (engine,) = scrape.engines
            assert engine.key == EngineKey(MODEL_NAMES.get(folder.name, "tiny"), "0")
            assert engine.generation_tokens is not None
            assert engine.generation_tokens >= last
            last = engine.generation_tokens
    assert last > 10_000


def test_a_recorded_scrape_and_a_recorded_failure() -> None:
    """Text is read as of the recorded time; an error is a failed scrape in its words."""
    reader = ExpositionReader()
    text = 'vllm:num_requests_running{model_name="é"} 3\n'
    engine = EngineSample(EngineKey("é", "0"), running=3.0)
    assert recorded_scrape(json.dumps({"t": 5, "text": text}), reader) == Scrape(5.0, (engine,), multiprocess=True)
    assert recorded_scrape(b'{"t": 6.5, "error": "refused"}', reader) == ScrapeFailed(6.5, "recorded", "refused")
    long = json.dumps({"t": 7, "error": "x" * 10_000})
    assert recorded_scrape(long, reader) == ScrapeFailed(7.0, "recorded", "x" * 500)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b'{"t": 1}', "not_a_scrape"),
        (b'{"t": null, "text": ""}', "not_a_scrape"),
        (b'{"t": 1, "text": 3}', "not_a_scrape"),
        (b'{"text": ""}', "not_a_scrape"),
    ],
)
def test_a_line_that_is_no_scrape(line: bytes, reason: str) -> None:
    """Each way to be wrong has its word, and the place comes back."""
    assert recorded_scrape(line, ExpositionReader(), "scrapes.jsonl:9") == Rejected(reason, "scrapes.jsonl:9")
