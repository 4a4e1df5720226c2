"""A server that talks nonsense is named as such, and its words go no further."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiohttp import web

from kvwatch.facts import Scrape
from tests.shell.conftest import MakeProbe, expositions, read_request, serve, serve_raw, text_response

RAW = {
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n",
    "random bytes": bytes(range(256)) * 8,
    "a status that is no number": b"HTTP/1.1 hello world\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
}


@pytest.mark.parametrize("answer", RAW.values(), ids=RAW.keys())
async def test_what_is_not_http_is_a_protocol_failure(probe: MakeProbe, answer: bytes) -> None:
    """Whatever comes back, it ends in a reason of the closed list."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with serve_raw(handler) as url:
        assert (await probe(url).failure()).reason in ("protocol", "connection")


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_a_page_is_not_metrics(probe: MakeProbe, content_type: str) -> None:
    """A wrong path that answers 200 is told from an exposition."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text="<html>or {}</html>", content_type=content_type)

    async with serve(handler) as url:
        failure = await probe(url).failure()
    assert (failure.reason, failure.detail) == (
        "not_metrics",
        f"the answer is {content_type}; is metrics_path right?",
    )


async def test_binary_junk_is_not_metrics(probe: MakeProbe) -> None:
    """Bytes called an exposition are counted as lines that cannot be read."""

    async def handler(_request: web.Request) -> web.Response:
        return text_response(b"\xff\xfe\n" * 100 + os.urandom(1000) + b"\n")

    async with serve(handler) as url:
        assert (await probe(url).failure()).reason == "not_metrics"


async def test_bad_lines_among_good_ones_are_counted(probe: MakeProbe) -> None:
    """Damage in a few lines does not cost the scrape."""

    async def handler(_request: web.Request) -> web.Response:
        return text_response("vllm:num_requests_running{oops 1\n" + expositions()[0])

    async with serve(handler) as url:
        scrape = await probe(url).success()
    assert scrape.bad_lines == 1
    assert len(scrape.engines) == 1


async def test_an_exposition_without_vllm_is_up(probe: MakeProbe) -> None:
    """With --disable-log-stats vLLM shows only its process: that is a scrape, with no engine."""
    body = "".join(line + "\n" for line in expositions()[0].splitlines() if "vllm:" not in line)

    async def handler(_request: web.Request) -> web.Response:
        return text_response(body)

    async with serve(handler) as url:
        scrape = await probe(url).once()
    assert isinstance(scrape, Scrape)
    assert scrape.engines == ()


async def test_broken_compression_is_a_protocol_failure(probe: MakeProbe) -> None:
    """An answer that says gzip and is not, or says what nobody knows, is refused."""
    for encoding, words in (("gzip", "broken compression"), ("zstd", "not asked for")):

        async def handler(_request: web.Request, encoding: str = encoding) -> web.Response:
            return text_response(b"no gzip", **{"Content-Encoding": encoding})

        async with serve(handler) as url:
            failure = await probe(url).failure()
        assert failure.reason == "protocol"
        assert words in failure.detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, "status"), (404, "status"), (204, "status"), (401, "unauthorized"), (403, "unauthorized")],
)
async def test_another_status_is_named(probe: MakeProbe, status: int, reason: str) -> None:
    """The status is told; the body, which may hold anything, is not."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=None if status == 204 else "secret body")

    async with serve(handler) as url:
        failure = await probe(url).failure()
    assert failure.reason == reason
    assert str(status) in failure.detail
    assert "secret" not in failure.detail


async def test_a_bug_in_the_reader_costs_one_scrape(probe: MakeProbe, caplog: pytest.LogCaptureFixture) -> None:
    """If the parser ever raises, the scrape fails as "internal", the scraper lives, and the log has one traceback."""

    async def handler(_request: web.Request) -> web.Response:
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scraping = probe(url)
        scraping.scraper._reader = BrokenReader()
        await scraping.failure()
        failure = await scraping.failure()
    assert (failure.reason, failure.detail) == ("internal", "ZeroDivisionError: a bug")
    (logged,) = [record for record in caplog.records if record.getMessage() == "internal_error"]
    assert logged.exc_info is not None
    assert logged.exc_info[0] is ZeroDivisionError


async def test_more_engines_than_the_limit_are_named_once(probe: MakeProbe, caplog: pytest.LogCaptureFixture) -> None:
    """A hostile or broken server cannot fill the memory, and what is left out is not left out in silence."""
    lines = [f'vllm:num_requests_running{{model_name="m",engine="{number}"}} 1\n' for number in range(300)]

    async def handler(_request: web.Request) -> web.Response:
        return text_response("".join(lines))

    async with serve(handler) as url:
        scraping = probe(url)
        for _ in range(3):
            assert len((await scraping.success()).engines) == 256
    (record,) = [record for record in caplog.records if record.getMessage() == "exposition_over_limit"]
    assert record.fields == {"target": "t", "engines": 44, "series": 0}  # type: ignore[attr-defined]


class BrokenReader:
    """A reader with a bug."""

    dropped_engines = 0
    dropped_series = 0

    def feed(self, _chunk: bytes) -> None:
        """Fail."""
        raise ZeroDivisionError("a bug")

    def reset(self) -> None:
        """Nothing to forget."""

    def finish(self, at: float, duration_seconds: float) -> Scrape:
        """Never reached."""
        raise AssertionError(at, duration_seconds)
