"""``kvwatch status`` against real servers: a kvwatch, a vLLM, both, and what is neither."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kvwatch.cli import main
from kvwatch.cli.status import EXIT_CODES, Look
from kvwatch.core.engine_state import EngineState
from kvwatch.embedded.scenarios import DEMO
from kvwatch.shell.emulator.server import EngineServer, ServeOptions
from tests.export.test_summary import document
from tests.page.stage import on_stage


@asynccontextmanager
async def answering(text: str, content_type: str = "text/plain") -> AsyncIterator[int]:
    """A server that gives one answer to everything."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def status(*arguments: str) -> int:
    """The command's exit code; it runs an event loop of its own."""
    return await asyncio.to_thread(main, ["status", *arguments])


def url(port: int) -> str:
    """An address on loopback."""
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("scene", "code", "words"),
    [
        ("quiet", 0, ["Fine", "qwen-3-32b", "of 17.5 req/s"]),
        ("draining", 0, ["Queue draining", "empty in"]),
        ("approaching", 3, ["Near its limit", "full in"]),
        ("overloaded", 4, ["Overloaded", "KV memory binds", "2,743 wait; +19% at 37 seats"]),
        ("hung", 5, ["Hung", "nothing has moved for a minute"]),
        ("none", 5, ["No answer", "10.0.0.21:8000", "connection: refused"]),
        ("waiting", 0, ["No engine has been read yet"]),
    ],
)
async def test_a_running_kvwatch_is_asked_for_its_engines(
    capsys: pytest.CaptureFixture[str], scene: str, code: int, words: Sequence[str]
) -> None:
    """The most urgent first, a line each, and the exit code of the worst."""
    async with on_stage(scene) as server:
        assert await status(url(server.port)) == code
    lines = capsys.readouterr().out.splitlines()
    assert all(word in lines[0] for word in words[:1])
    assert all(any(word in line for line in lines) for word in words)


async def test_a_vllm_is_watched_for_some_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any kvwatch: arrivals are known, and what is not says why."""
    options = ServeOptions(DEMO["steady"], "127.0.0.1", 0, model_name="llama")
    async with EngineServer(options) as server:
        assert await status(url(server.port), "--duration", "4s", "--json") == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert engine["model_name"] == "llama"
    assert engine["arrival_rate"] > 0
    assert engine["state"] in ("warming_up", "fine")


async def test_several_addresses_are_one_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, with the exit code in it."""
    async with on_stage("quiet") as quiet, on_stage("one") as one:
        assert await status(url(quiet.port), url(one.port), "--json") == 4
    look = json.loads(capsys.readouterr().out)
    assert look["exit_code"] == 4
    assert look["engines"][0]["state"] == "overloaded"
    assert len(look["engines"]) == 4
    assert look["engines"][0]["line"].endswith("+19% at 37 seats (a restart); 2 replicas needed, 1 now")


@pytest.mark.parametrize(
    ("text", "content_type", "why"),
    [
        ("<html></html>", "text/html", "not_metrics"),
        ("# TYPE up gauge\nup 1\nprocess_start_time_seconds 1\n", "text/plain", "shows no metrics of vLLM or SGLang"),
        ('{"engines": "none"}', "application/json", "not_metrics"),
    ],
)
async def test_what_is_neither_is_told_apart(
    capsys: pytest.CaptureFixture[str], text: str, content_type: str, why: str
) -> None:
    """With its address, and exit code 1."""
    async with answering(text, content_type) as port:
        assert await status(url(port), "--duration", "3s") == 1
    error = capsys.readouterr().err
    assert f"kvwatch status: {url(port)}: " in error
    assert why in error


async def test_nobody_there_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """And no traceback."""
    assert await status("http://127.0.0.1:1") == 1
    assert "kvwatch status: http://127.0.0.1:1: connection" in capsys.readouterr().err


def test_a_wrong_address_is_a_wrong_flag() -> None:
    """As for every command."""
    with pytest.raises(SystemExit) as ended:
        main(["status", "localhost:9718"])
    assert ended.value.code == 2


def test_every_state_has_an_exit_code_and_the_worst_counts() -> None:
    """A hung engine outweighs an overloaded one, and that one all that can wait."""
    assert set(EXIT_CODES) == set(EngineState)
    many = [document(state.value) for state in EngineState]
    assert Look.of([{"engines": many}]).exit_code == 5
    assert Look.of([{"engines": [document("overloaded"), document("fine")]}]).exit_code == 4
    assert Look.of([{"engines": [document("unknown"), document("approaching")]}]).exit_code == 3
    assert Look.of([{"engines": [document("unknown"), document("fine")]}]).exit_code == 6
    assert Look.of([]).exit_code == 0
