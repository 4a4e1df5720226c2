"""The emulated engine over HTTP, and its recordings in virtual time."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from pathlib import Path

import aiohttp
import pytest

from bench.fidelity import compare
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.parse.settings import settings_from_models, settings_from_server_info
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.emulator.server import EngineServer, ServeOptions, serve
from kvwatch.shell.recordings.recorder import RecordingExistsError


class Hands:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Seconds since some moment."""
        return self.seconds


def value(text: str, name: str) -> float:
    """Sum of one metric's samples."""
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + "{"))


async def test_a_scenario_can_be_watched(tmp_path: Path) -> None:
    """Metrics move with the clock, the API names the model and the settings, and ended requests are logged."""
    hands, log = Hands(), tmp_path / "requests.jsonl"
    options = ServeOptions(SCENARIOS["steady"], port=0, clock=hands, request_log=log, model_name="m")
    async with EngineServer(options) as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:

        async def get(path: str) -> bytes:
            async with http.get(path) as response:
                assert response.status == 200
                return await response.read()

        before = (await get("/metrics")).decode()
        for _ in range(60):
            hands.seconds += 0.5
            text = (await get("/metrics")).decode()
        assert value(before, "vllm:generation_tokens_total") == 0
        finished = value(text, "vllm:request_success_total")
        assert finished > 50
        settings = options.scenario.settings
        assert await get("/health") == b""
        assert json.loads(await get("/version")) == {"version": "0.32.0"}
        models = settings_from_models(await get("/v1/models"), "m")
        assert models is not None
        assert models.max_model_len == settings.max_model_len
        info = settings_from_server_info(await get("/server_info?config_format=json"))
        assert info is not None
        assert (info.max_num_seqs, info.max_num_batched_tokens) == (
            settings.max_num_seqs,
            settings.max_num_batched_tokens,
        )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["status"] == 200 for line in lines) == finished
    assert all(line["arrival"] < line["finish"] for line in lines)


async def test_a_completion_takes_the_emulated_time_and_tells_its_lengths() -> None:
    """The answer comes when the engine's clock says so, with the usage that was asked for."""
    hands = Hands()
    options = ServeOptions(SCENARIOS["steady"], port=0, clock=hands, traffic=False)
    async with EngineServer(options) as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        asked = asyncio.create_task(http.post("/v1/completions", json={"prompt": [5] * 40, "max_tokens": 30}))
        async with asyncio.timeout(30):
            while not value(await (await http.get("/metrics")).text(), "vllm:num_requests_running"):
                hands.seconds += 0.01
        assert not asked.done()
        hands.seconds += 5
        body = await (await asked).json()
        assert body["usage"] == {"prompt_tokens": 40, "completion_tokens": 30, "total_tokens": 70}
        assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"prompt": "x", "model": "other"}, 404, "does not exist"),
        ({"prompt": "x", "stream": True}, 400, "stream"),
        ({"prompt": []}, 400, "empty"),
        ({"prompt": [1], "max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": 3}, 400, "prompt"),
        ({"prompt": [1] * 5000}, 400, "no room"),
        ("not an object", 400, "Expected"),
    ],
)
async def test_a_bad_completion_is_refused_in_words(body: object, status: int, words: str) -> None:
    """Every refusal says what is wrong, and leaves nothing in the engine."""
    options = ServeOptions(SCENARIOS["steady"], port=0, traffic=False)
    async with EngineServer(options) as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        async with http.post("/v1/completions", json=body) as response:
            assert response.status == status
            assert words in (await response.json())["error"]["message"]
        assert not server.engine.scheduler.waiting


async def test_a_client_that_hangs_up_frees_its_blocks() -> None:
    """The abort reaches the scheduler; no finished request is counted."""
    hands = Hands()
    options = ServeOptions(SCENARIOS["steady"], port=0, clock=hands, traffic=False)
    async with EngineServer(options) as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        asked = asyncio.create_task(http.post("/v1/completions", json={"prompt": [5] * 40, "max_tokens": 2000}))
        async with asyncio.timeout(30):
            while not server.engine.scheduler.running:
                hands.seconds += 0.01
                await asyncio.sleep(0.001)
            asked.cancel()
            while server.engine.scheduler.running:
                hands.seconds += 0.01
                await asyncio.sleep(0.001)
        assert server.engine.scheduler.used_blocks == 0
        assert server.engine.counters.finished == 0


async def test_serve_says_where_it_listens_and_ends_when_told() -> None:
    """A taken port is an error; a stop event ends the server."""
    stop, ports = asyncio.Event(), []
    options = ServeOptions(SCENARIOS["seqcap"], port=0, speed=10)

    def started(server: EngineServer) -> None:
        ports.append(server.port)
        stop.set()

    await serve(options, stop=stop, started=started)
    assert ports[0] > 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address"):
            await serve(ServeOptions(SCENARIOS["seqcap"], port=taken.getsockname()[1]), stop=asyncio.Event())
    with pytest.raises(ValueError, match="speed"):
        ServeOptions(SCENARIOS["seqcap"], speed=1000)


def test_a_virtual_recording_is_like_a_real_one(tmp_path: Path) -> None:
    """It has the files, one seed gives the same bytes, nothing is overwritten, and the engine reproduces its phases."""
    first, second = tmp_path / "first", tmp_path / "second"
    written = record_virtual(SCENARIOS["limit-cycle"], first, seconds=220, scrape_interval_seconds=2, seed=4)
    record_virtual(SCENARIOS["limit-cycle"], second, seconds=220, scrape_interval_seconds=2, seed=4)
    names = ["requests.jsonl", "scrapes.jsonl.gz", "server.log.gz", "settings.json", "truth.json"]
    assert sorted(path.name for path in first.iterdir()) == names
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]
    with pytest.raises(RecordingExistsError):
        record_virtual(SCENARIOS["limit-cycle"], first, seconds=10)
    scrapes = [json.loads(line) for line in gzip.decompress((first / "scrapes.jsonl.gz").read_bytes()).splitlines()]
    assert len(scrapes) == written.scrapes == 111
    requests = (first / "requests.jsonl").read_text().splitlines()
    assert len(requests) == written.requests
    truth = json.loads((first / "truth.json").read_text())
    (_, phase) = truth["phases"]
    assert phase["service_rate_by_tokens"] == pytest.approx(truth["mu_true"], rel=0.05)
    assert phase["offered"] == pytest.approx(4 * truth["mu_true"], rel=0.1)
    ((_, real, emulated),) = compare(first)
    assert emulated.throughput_rps == pytest.approx(real.throughput_rps, rel=0.03)
    assert emulated.preemptions_per_finished == pytest.approx(real.preemptions_per_finished, rel=0.15)
