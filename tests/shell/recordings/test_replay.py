"""What is recorded can be replayed, however the recorder ended."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from kvwatch.core.options import CoreOptions
from kvwatch.export.json_api import fleet_json
from kvwatch.facts import Scrape, ScrapeFailed, Settings
from kvwatch.shell.recordings.recorder import LINES_PER_MEMBER, Recorder, RecordingExistsError, RecordingWriter
from kvwatch.shell.recordings.replay import Recording, RecordingError, replay
from kvwatch.shell.scrape.client import Client, Target
from tests.shell.conftest import DATA, expositions, running, serve, text_response


def opened(folder: Path) -> tuple[Recording, list[str]]:
    """A recording, and what it reports."""
    reports: list[str] = []
    return Recording(folder, reports.append), reports


def write_lines(folder: Path, *documents: object, name: str = "scrapes.jsonl") -> None:
    """A recording of these lines, text where they are text."""
    lines = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    (folder / name).write_text("".join(line + "\n" for line in lines))


async def test_a_live_server_is_recorded_and_read_back(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Good and failed scrapes come back in order, the text as it was, and the settings beside them."""
    text = expositions()[0]
    answers = iter([200, 500, 200])
    times = itertools.count(1000.0)

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "tiny", "max_model_len": 4096}]})
        status = next(answers, None) if request.path == "/metrics" else 404
        return text_response(text) if status == 200 else web.Response(status=status or 503)

    async with serve(handler) as url:
        with RecordingWriter(tmp_path / "new" / "folder") as writer:
            target = Target("t", url, interval_seconds=0.02)
            recorder = Recorder(target, Client(session, target), writer, lambda: next(times))
            async with running(recorder.run(Settings(max_num_seqs=12, source="config"))):
                while recorder.summary.scrapes + recorder.summary.failures < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    recording, reports = opened(tmp_path / "new" / "folder")
    facts = list(recording.scrapes())
    assert [type(fact) for fact in facts[:4]] == [Scrape, ScrapeFailed, Scrape, ScrapeFailed]
    assert "status: HTTP 500" in facts[1].detail  # type: ignore[union-attr]
    assert len(facts[0].engines) == 1  # type: ignore[union-attr]
    assert recording.settings() == Settings(12, None, 4096, "recording")
    assert reports == []
    with gzip.open(tmp_path / "new" / "folder" / "scrapes.jsonl.gz") as file:
        assert json.loads(next(file))["text"] == text


def test_a_killed_recorder_leaves_every_line_it_wrote(tmp_path: Path) -> None:
    """Without a close, each line that was written can be read: nothing waits in the process' memory."""
    writer = RecordingWriter(tmp_path)
    for number in range(LINES_PER_MEMBER + 7):
        writer.scrape(1000.0 + number, b'vllm:num_requests_running{model_name="m",engine="0"} %d\n' % number)
    recording, reports = opened(tmp_path)
    facts = list(recording.scrapes())
    assert [fact.at for fact in facts] == [1000.0 + number for number in range(LINES_PER_MEMBER + 7)]
    assert reports == ["scrapes.jsonl.gz: the file is cut off; its last scrapes may be missing"]
    writer.close()
    recording, reports = opened(tmp_path)
    assert len(list(recording.scrapes())) == LINES_PER_MEMBER + 7
    assert reports == []


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    """A folder that holds one is refused, and stays as it is."""
    RecordingWriter(tmp_path).close()
    before = (tmp_path / "scrapes.jsonl.gz").read_bytes()
    with pytest.raises(RecordingExistsError, match="exists; choose another folder"):
        RecordingWriter(tmp_path)
    assert (tmp_path / "scrapes.jsonl.gz").read_bytes() == before


def test_damaged_lines_are_reported_with_their_place_and_skipped(tmp_path: Path) -> None:
    """The lines around them are read."""
    text = expositions()[0]
    write_lines(
        tmp_path,
        {"t": 1.0, "text": text},
        "{not json",
        {"t": "noon", "text": text},
        {"t": 2.0},
        {"t": 0.5, "text": text},
        {"t": 3.0, "error": "timeout: no answer"},
        {"t": 4.0, "text": text},
    )
    recording, reports = opened(tmp_path)
    assert [fact.at for fact in recording.scrapes()] == [1.0, 3.0, 4.0]
    assert reports == [
        "scrapes.jsonl:2: not_json; skipped",
        "scrapes.jsonl:3: not_a_scrape; skipped",
        "scrapes.jsonl:4: not_a_scrape; skipped",
        "scrapes.jsonl:5: not later than the line before it; skipped",
    ]


def test_replay_gives_one_view_for_each_scrape(tmp_path: Path) -> None:
    """At the scrape's time; a failed scrape gives one too, and there is no engine until one is known."""
    texts = expositions()
    write_lines(
        tmp_path,
        {"t": 100.0, "error": "connection: refused"},
        {"t": 101.0, "text": texts[0]},
        {"t": 102.0, "text": texts[1]},
        {"t": 103.0, "error": "timeout: no answer"},
    )
    recording, _ = opened(tmp_path)
    views = list(replay(recording))
    assert [view.at for view in views] == [100.0, 101.0, 102.0, 103.0]
    assert [len(view.targets[0].engines) for view in views] == [0, 1, 1, 1]
    assert [view.targets[0].up for view in views] == [False, True, True, False]
    assert {view.targets[0].target for view in views} == {tmp_path.name}


def test_the_scrape_interval_is_taken_from_the_recording(tmp_path: Path) -> None:
    """At 15 s between scrapes nothing is stale after 16."""
    text = expositions()[0]
    times = [15.0 * number for number in range(5)]
    write_lines(tmp_path, *[{"t": at, "text": text} for at in times], {"t": 76.0, "error": "timeout: once"})
    recording, _ = opened(tmp_path)
    assert len(list(replay(recording))[-1].targets[0].engines) == 1
    strict = list(replay(recording, CoreOptions(scrape_interval_seconds=1.0)))
    assert strict[-1].targets[0].engines == ()


def test_requests_are_observed_only_when_asked_for() -> None:
    """--requests adds the joint estimate of the demand; without it the file is not read."""
    recording, reports = opened(DATA / "recordings" / "seqcap")
    plain = list(itertools.islice(replay(recording), 90))[-1].targets[0].engines[0]
    joint = list(itertools.islice(replay(recording, requests=True), 90))[-1].targets[0].engines[0]
    assert "joint" not in plain.request_demand_token_steps.value
    assert "joint" in joint.request_demand_token_steps.value
    assert reports == []


def test_a_replay_is_the_same_each_time() -> None:
    """To the last digit."""
    folder = DATA / "recordings" / "seqcap"
    once, again = ([fleet_json(view) for view in itertools.islice(replay(opened(folder)[0]), 60)] for _ in range(2))
    assert once == again


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A folder without scrapes, or without the requests that were asked for."""
    recording, _ = opened(tmp_path)
    with pytest.raises(RecordingError, match=r"holds neither scrapes.jsonl.gz nor scrapes.jsonl"):
        list(replay(recording))
    write_lines(tmp_path, {"t": 1.0, "text": expositions()[0]})
    with pytest.raises(RecordingError, match=r"holds no requests.jsonl, which --requests asks for"):
        list(replay(recording, requests=True))


def test_damaged_settings_and_requests_are_reported(tmp_path: Path) -> None:
    """They are ignored, and the replay goes on."""
    write_lines(tmp_path, {"t": 1.0, "text": expositions()[0]})
    write_lines(tmp_path, "[]", name="settings.json")
    write_lines(tmp_path, "{}", name="requests.jsonl")
    recording, reports = opened(tmp_path)
    assert len(list(replay(recording, requests=True))) == 1
    assert sorted(reports) == [
        "requests.jsonl:1: not_a_request; skipped",
        "settings.json: not a JSON object with settings; ignored",
    ]
