"""A server that does not answer in time costs one scrape."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from tests.shell.conftest import MakeProbe, expositions, read_request, serve, serve_raw, text_response


async def test_a_server_that_never_answers_is_a_timeout(probe: MakeProbe) -> None:
    """The request is given up after the timeout."""

    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async with serve(handler) as url:
        failure = await probe(url, timeout_seconds=0.1).failure()
    assert (failure.reason, failure.detail) == ("timeout", "no complete answer within 0.1 s")


async def test_a_server_that_drips_is_a_timeout(probe: MakeProbe) -> None:
    """The timeout is for the whole answer, so bytes now and then do not extend it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"a 1\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve_raw(handler) as url:
        assert (await probe(url, timeout_seconds=0.2).failure()).reason == "timeout"


async def test_headers_that_never_end_are_a_failure(probe: MakeProbe) -> None:
    """A header without end is refused by the client's own limit."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serve_raw(handler) as url:
        assert (await probe(url).failure()).reason == "protocol"


async def test_an_answer_that_was_read_after_the_process_was_stopped_is_a_timeout(probe: MakeProbe) -> None:
    """After SIGCONT, or a pause of the whole machine, nobody knows of which time the numbers are."""

    async def handler(_request: web.Request) -> web.Response:
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scraping = probe(url, timeout_seconds=0.3)
        feed = scraping.scraper._reader.feed

        def stopped(chunk: bytes) -> None:
            time.sleep(0.5)  # nothing of the process goes on
            feed(chunk)

        scraping.scraper._reader.feed = stopped  # type: ignore[method-assign]
        assert (await scraping.failure()).reason == "timeout"
        scraping.scraper._reader.feed = feed  # type: ignore[method-assign]
        await scraping.success()
