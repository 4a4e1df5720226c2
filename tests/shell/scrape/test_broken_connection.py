"""A connection that breaks, wherever it breaks, costs one scrape."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct

from aiohttp import web

from tests.shell.conftest import MakeProbe, expositions, read_request, serve, serve_raw, text_response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n"


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_port_where_nobody_listens(probe: MakeProbe) -> None:
    """Refused is a connection failure with the system's words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        failure = await probe(f"http://127.0.0.1:{taken.getsockname()[1]}").failure()
    assert failure.reason == "connection"
    assert failure.detail


async def test_a_name_that_does_not_exist(probe: MakeProbe) -> None:
    """A name that DNS does not know is a failure of DNS."""
    assert (await probe("http://no-such-host.invalid:8000").failure()).reason == "dns"


async def test_a_reset_before_the_answer(probe: MakeProbe) -> None:
    """The server takes the request and resets."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        reset(writer)

    async with serve_raw(handler) as url:
        assert (await probe(url).failure()).reason == "connection"


async def test_a_reset_within_the_body(probe: MakeProbe) -> None:
    """Half an answer is none."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"a 1\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.01)
        reset(writer)

    async with serve_raw(handler) as url:
        assert (await probe(url).failure()).reason == "connection"


async def test_an_end_before_the_length_is_reached(probe: MakeProbe) -> None:
    """An orderly close within the body is found by the length."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"a 1\n" * 100)
        await writer.drain()

    async with serve_raw(handler) as url:
        failure = await probe(url).failure()
    assert (failure.reason, failure.detail) == (
        "connection",
        "the connection broke before the answer was complete",
    )


async def test_a_compressed_body_that_is_cut_off(probe: MakeProbe) -> None:
    """A cut is found in the compression too, where no length tells."""
    packed = gzip.compress(expositions()[0].encode())

    async def handler(_request: web.Request) -> web.Response:
        return text_response(packed[:-20], **{"Content-Encoding": "gzip"})

    async with serve(handler) as url:
        failure = await probe(url).failure()
    assert (failure.reason, failure.detail) == ("protocol", "the compressed answer is cut off")
