"""A body without end, or one that unpacks to one, is cut at the limit."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from aiohttp import web

from kvwatch.facts import Scrape, ScrapeFailed
from tests.shell.conftest import MakeProbe, expositions, read_request, serve, serve_raw, text_response

LIMIT = 1 << 20


async def test_an_endless_body_is_too_large(probe: MakeProbe) -> None:
    """Reading stops at the limit, long before the timeout."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"a 1\n" * 4096)
            await writer.drain()

    async with serve_raw(handler) as url:
        failure = await probe(url, max_body_bytes=LIMIT, timeout_seconds=60.0).failure()
    assert (failure.reason, failure.detail) == ("too_large", "more than 1048576 bytes")


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_compression_bomb_is_too_large(probe: MakeProbe, layers: int) -> None:
    """A gigabyte in a megabyte is not unpacked beyond the limit; what is packed twice is unpacked once."""
    bomb = gzip.compress(b"\n" * (1 << 26), compresslevel=6)
    if layers == 2:
        bomb = gzip.compress(bomb)

    async def handler(_request: web.Request) -> web.Response:
        return text_response(bomb, **{"Content-Encoding": "gzip"})

    async with serve(handler) as url:
        fact = await probe(url, max_body_bytes=LIMIT, timeout_seconds=60.0).once()
    if layers == 1:
        assert isinstance(fact, ScrapeFailed)
        assert fact.reason == "too_large"
    else:
        assert isinstance(fact, ScrapeFailed)
        assert fact.reason == "not_metrics"


async def test_what_fed_before_the_cut_is_forgotten(probe: MakeProbe) -> None:
    """The next scrape of the same target is whole and holds nothing of the one that was cut."""
    good = expositions()[0]
    answers = iter([good + "x 1\n" * LIMIT, good])

    async def handler(_request: web.Request) -> web.Response:
        return text_response(next(answers))

    async with serve(handler) as url:
        scraping = probe(url, max_body_bytes=LIMIT)
        assert (await scraping.failure()).reason == "too_large"
        scrape = await scraping.success()
    assert isinstance(scrape, Scrape)
    assert scrape.bad_lines == 0
    assert len(scrape.engines) == 1
