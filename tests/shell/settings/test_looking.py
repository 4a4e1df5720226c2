"""Settings that no metric shows are taken from the server's API, where it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp import web

from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.scrape.client import Client, Target
from kvwatch.shell.settings.api import settings_of_api
from kvwatch.shell.settings.looking import Look, keep_looking, looks
from tests.shell.conftest import running, serve

MODELS = {"object": "list", "data": [{"id": "llama", "max_model_len": 4096}]}
SERVER_INFO = {
    "vllm_config": {
        "scheduler_config": {"max_num_seqs": 256, "max_num_batched_tokens": 2048},
        "model_config": {"max_model_len": 4096},
    }
}


def at(url: str, session: aiohttp.ClientSession) -> Sequence[Look]:
    """Looks at an API alone, as for a target that is on another host."""
    return looks(Client(session, Target("t", url)), Target("t", "http://elsewhere.test"))


async def found(session: aiohttp.ClientSession, pages: dict[str, object]) -> list[Settings]:
    """What is discovered on a server that has these pages."""

    async def handler(request: web.Request) -> web.Response:
        if request.path not in pages:
            return web.Response(status=404)
        return web.json_response(pages[request.path])

    async with serve(handler) as url:
        return await settings_of_api(Client(session, Target("t", url)))


async def test_development_mode_tells_everything(session: aiohttp.ClientSession) -> None:
    """/server_info has all three."""
    pages: dict[str, object] = {"/server_info": SERVER_INFO, "/v1/models": MODELS}
    assert await found(session, pages) == [
        Settings(256, 2048, 4096, SettingSource.SERVER_INFO),
        Settings(max_model_len=4096, source=SettingSource.MODELS),
    ]


async def test_otherwise_the_longest_request_is_known(session: aiohttp.ClientSession) -> None:
    """/v1/models is always there."""
    pages = {"/v1/models": MODELS, "/version": {"version": "0.32.0"}}
    assert await found(session, pages) == [
        Settings(max_model_len=4096, source=SettingSource.MODELS, version="0.32.0"),
    ]


async def test_a_server_without_either_tells_nothing(session: aiohttp.ClientSession) -> None:
    """That is no error; nor is an answer that makes no sense."""
    assert await found(session, {}) == []
    assert await found(session, {"/server_info": [1, 2], "/v1/models": "hello"}) == []


async def test_it_asks_when_the_server_is_fresh_and_not_before(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not until the first good scrape, then after each restart, without waiting for the interval."""
    asked = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(MODELS)

    def deliver(settings: list[Settings]) -> None:
        assert settings
        asked.set()

    monkeypatch.setattr("kvwatch.shell.settings.looking.LEAST_SECONDS", 0.05)
    fresh = asyncio.Event()
    async with serve(handler) as url, running(keep_looking(at(url, session), fresh, 3600.0, deliver)):
        await asyncio.sleep(0.02)
        assert not asked.is_set()
        for _ in range(2):
            fresh.set()
            await asked.wait()
            asked.clear()


async def test_it_asks_again_after_the_interval(session: aiohttp.ClientSession) -> None:
    """A restart that no metric shows is found in time."""
    times = 0
    enough = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(MODELS)

    def deliver(_settings: list[Settings]) -> None:
        nonlocal times
        times += 1
        if times == 3:
            enough.set()

    fresh = asyncio.Event()
    fresh.set()
    async with (
        serve(handler) as url,
        running(keep_looking(at(url, session), fresh, 0.01, deliver)),
    ):
        await enough.wait()


async def test_a_server_that_comes_and_goes_is_not_asked_each_time(session: aiohttp.ClientSession) -> None:
    """However often it is seen anew, it is asked once in a while."""
    asked = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response(MODELS)

    fresh = asyncio.Event()
    async with (
        serve(handler) as url,
        running(keep_looking(at(url, session), fresh, 3600.0, lambda _settings: None)),
    ):
        for _ in range(20):
            fresh.set()
            await asyncio.sleep(0.02)
    assert asked <= 3  # a look at each of the paths that tell of settings
