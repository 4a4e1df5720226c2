"""A server that answers is read as it is."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from aiohttp import web

from kvwatch.facts import Scrape
from kvwatch.shell.scrape.client import Target
from kvwatch.shell.scrape.scraper import phase_seconds
from tests.shell.conftest import MakeProbe, expositions, running, serve, text_response


async def test_an_exposition_becomes_a_scrape(probe: MakeProbe) -> None:
    """The engine, its numbers and the process' start are read over a real connection."""

    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/metrics"
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scrape = await probe(url).success()
    assert [engine.key.model_name for engine in scrape.engines] == ["tiny"]
    assert scrape.process_start is not None
    assert scrape.bad_lines == 0


async def test_the_time_of_a_scrape_is_the_middle_of_its_request(probe: MakeProbe) -> None:
    """The clock is read once, before the request; half of the duration is added."""
    times = iter([1000.0])

    async def handler(_request: web.Request) -> web.Response:
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scrape = await probe(url, clock=lambda: next(times)).success()
    assert scrape.duration_seconds is not None
    assert scrape.at == 1000.0 + scrape.duration_seconds / 2


async def test_a_path_prefix_and_another_metrics_path_are_followed(probe: MakeProbe) -> None:
    """The request goes to the url's path with the metrics path below it."""

    async def handler(request: web.Request) -> web.Response:
        return text_response(expositions()[0]) if request.path == "/eu/prometheus" else web.Response(status=404)

    async with serve(handler) as url:
        await probe(url + "/eu", metrics_path="/prometheus").success()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_read(probe: MakeProbe, encoding: str) -> None:
    """A proxy may compress although nobody asked for it."""
    body = expositions()[0].encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return text_response(packed, **{"Content-Encoding": encoding})

    async with serve(handler) as url:
        scrape = await probe(url, max_body_bytes=len(body)).success()
    assert len(scrape.engines) == 1


async def test_a_body_in_pieces_is_the_same_scrape(probe: MakeProbe) -> None:
    """Chunks cut anywhere change nothing."""
    body = expositions()[0].encode()

    async def whole(_request: web.Request) -> web.Response:
        return text_response(body)

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        for start in range(0, len(body), 777):
            await response.write(body[start : start + 777])
        return response

    scrapes = []
    for handler in (whole, pieces):
        async with serve(handler) as url:
            scrapes.append(await probe(url).success())
    assert scrapes[0].engines == scrapes[1].engines


async def test_connections_are_reused(probe: MakeProbe) -> None:
    """Scrape after scrape goes over one connection."""
    ports = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scraping = probe(url)
        for _ in range(3):
            await scraping.success()
    assert len(ports) == 1


async def test_the_scraper_goes_on_after_a_failure(probe: MakeProbe) -> None:
    """A failed scrape is delivered like a good one, and the next tick comes."""
    answers = iter([200, 500, 200])

    async def handler(_request: web.Request) -> web.Response:
        status = next(answers, 200)
        return text_response(expositions()[0]) if status == 200 else web.Response(status=status)

    async with serve(handler) as url:
        scraping = probe(url, interval_seconds=0.02)
        async with running(scraping.scraper.run()):
            facts = await scraping.until(3)
    assert [isinstance(fact, Scrape) for fact in facts[:3]] == [True, False, True]


async def test_a_first_scrape_and_a_restart_are_fresh(probe: MakeProbe) -> None:
    """Discovery is asked for at the first scrape, after a failure, and when the process' start time changes."""
    body = expositions()[0]
    start = next(line for line in body.splitlines() if line.startswith("process_start_time_seconds"))
    bodies = iter([body, body, body.replace(start, "process_start_time_seconds 1.9e9"), None, body])

    async def handler(_request: web.Request) -> web.Response:
        answer = next(bodies)
        return web.Response(status=503) if answer is None else text_response(answer)

    seen = []
    async with serve(handler) as url:
        scraping = probe(url)
        for _ in range(5):
            await scraping.once()
            seen.append(scraping.scraper.fresh.is_set())
            scraping.scraper.fresh.clear()
    assert seen == [True, False, True, False, True]


def test_targets_are_spread_over_the_interval() -> None:
    """A thousand targets do not ask at once: every tenth of the interval gets about a tenth of them."""
    phases = [phase_seconds(Target(f"10.0.{n // 250}.{n % 250}:8000", "", interval_seconds=2.0)) for n in range(1000)]
    assert all(0 <= phase < 2.0 for phase in phases)
    tenths = [sum(1 for phase in phases if int(phase * 5) == tenth) for tenth in range(10)]
    assert min(tenths) > 50
    assert max(tenths) < 150


async def test_a_slow_scrape_leaves_ticks_out(probe: MakeProbe) -> None:
    """Scrapes of one target never overlap and are not made up for."""
    under_way, most = 0, 0
    release = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scraping = probe(url, interval_seconds=0.01)
        async with running(scraping.scraper.run()):
            await asyncio.sleep(0.1)
            release.set()
            await scraping.until(2)
    assert most == 1
