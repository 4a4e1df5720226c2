"""The page and its stream over HTTP: what is served, to how many, and what a viewer is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvwatch.core.engine_state import EngineState
from kvwatch.page import live
from kvwatch.page.assets import assets
from kvwatch.page.history import COLUMNS
from kvwatch.shell.web.server import HttpServer
from tests.page.stage import OTHERS, SCENES, fleet_at, on_stage

OTHER = "target=10.0.0.9%3A8000&model_name=qwen-3-32b&engine=0"


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Server-sent events, one by one."""
    name = ""
    async for line in response.content:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


async def first(server: HttpServer, query: str, *wanted: str) -> dict[str, dict[str, object]]:
    """The first event of each of the kinds that are wanted."""
    found: dict[str, dict[str, object]] = {}
    url = f"http://127.0.0.1:{server.port}/api/v1/stream?{query}"
    async with asyncio.timeout(20), aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.content_type == "text/event-stream"
        async for name, event in events(response):
            found.setdefault(name, event)
            if set(wanted) <= found.keys():
                break
    return found


async def test_the_page_and_all_its_parts_are_served_from_here() -> None:
    """Each under a type that a browser takes with ``nosniff``, and none asks for anything from elsewhere."""
    async with on_stage("quiet") as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        for path, asset in assets().items():
            async with session.get(f"/{path}") as response:
                assert (response.status, response.content_type) == (200, asset.content_type)
                body = (await response.read()).decode()
            outside = [part for part in ("https://", "//cdn", "@import", "url(") if part in body]
            assert not outside, path
            assert body.count("http://") == body.count("http://www.w3.org/2000/svg"), path


async def test_the_policy_lets_no_script_or_style_run_that_stands_in_a_page() -> None:
    """So that a name that became markup by a fault could still do nothing."""
    async with (
        on_stage("quiet") as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/") as response,
    ):
        policy = response.headers["Content-Security-Policy"]
        body = await response.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<style" not in body
    assert 'style="' not in body
    assert body.count("<script") == body.count('<script type="module" src="page/')


async def test_a_viewer_is_told_of_all_engines_and_of_one_in_full() -> None:
    """The fleet in brief, and of the engine that is looked at its hour and its whole document."""
    async with on_stage("quiet") as server:
        found = await first(server, OTHER, "hello", "fleet", "history", "engine")
    assert found["hello"]["columns"] == list(COLUMNS)
    assert len(found["fleet"]["engines"]) == 3  # type: ignore[arg-type]
    times, rows = found["history"]["t"], found["history"]["rows"]
    assert isinstance(times, list)
    assert isinstance(rows, list)
    assert len(times) == len(rows) > 100
    assert times == sorted(times)
    assert len(rows[0]) == len(COLUMNS)
    assert found["engine"]["engine"]["model_name"] == "qwen-3-32b"  # type: ignore[index]


async def test_the_second_event_has_only_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a fleet that stands still."""
    monkeypatch.setattr(live, "TICK_SECONDS", 0.05)
    async with (
        on_stage("quiet") as server,
        asyncio.timeout(20),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/api/v1/stream") as response,
    ):
        fleets = [event["engines"] async for name, event in _some(response, 4) if name == "fleet"]
    assert len(fleets[0]) == 3  # type: ignore[arg-type]
    assert fleets[-1] == []


async def _some(response: aiohttp.ClientResponse, number: int) -> AsyncIterator[tuple[str, dict[str, object]]]:
    async for event in events(response):
        yield event
        number -= 1
        if not number:
            return


async def test_an_engine_that_is_not_there_is_no_fault() -> None:
    """A link to an engine of yesterday shows the fleet, and no detail."""
    async with on_stage("quiet") as server:
        found = await first(server, "target=gone&model_name=x&engine=0", "fleet", "history")
    assert found["history"] == {"t": [], "rows": []}
    assert "engine" not in found


async def test_viewers_beyond_the_limit_are_refused_and_come_in_when_others_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred forgotten tabs cost no more than the limit."""
    monkeypatch.setattr(live, "MOST_VIEWERS", 2)
    monkeypatch.setattr(live, "TICK_SECONDS", 0.05)
    async with on_stage("quiet") as server, asyncio.timeout(20), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/api/v1/stream"
        viewers = [await session.get(url) for _ in range(2)]
        async with session.get(url) as refused:
            assert refused.status == 503
        viewers[0].close()
        while True:
            async with session.get(url) as taken:
                if taken.status == 200:
                    break
            await asyncio.sleep(0.02)
        viewers[1].close()


async def test_a_stream_ends_when_the_server_stops() -> None:
    """Shutdown does not wait for viewers."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        async with on_stage("quiet") as server:
            response = await session.get(f"http://127.0.0.1:{server.port}/api/v1/stream")
            await response.content.readline()
        assert [event async for event in events(response)] != []
        assert response.content.at_eof()
        response.close()


def test_the_scenes_cover_what_they_are_named_for() -> None:
    """The stage is what the browser's tests look at: its engines are in the states that the scenes promise."""
    named = set(EngineState) - {EngineState.FINE}
    for scene in ("quiet", *named):
        courses, broken = SCENES[scene]
        view = fleet_at(courses, 0.0, broken)
        states = {
            next(name for name, value in engine.engine_state.items() if value)
            for target in view.targets
            for engine in target.shown
        }
        assert ("fine" if scene == "quiet" else scene) in states
    assert len(OTHERS) == 2
