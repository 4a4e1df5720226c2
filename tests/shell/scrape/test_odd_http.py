"""Answers that are valid HTTP in an odd form are read as they are; those that lie about their length are refused."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.scrape.credentials import Credentials
from tests.shell.conftest import MakeProbe, expositions, read_request, serve, serve_raw, text_response

PAGE = expositions()[0].encode()
WHOLE = ExpositionReader().read(PAGE, 1000.0)
_SOME_BYTES = 97
"""Size of a chunk, which lines and numbers are cut by [bytes]."""


def chunks(body: bytes, extension: bytes = b"") -> Iterator[bytes]:
    """The body in chunks, without the last one, which is empty."""
    for at in range(0, len(body), _SOME_BYTES):
        piece = body[at : at + _SOME_BYTES]
        yield b"%x%s\r\n%s\r\n" % (len(piece), extension, piece)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
WHOLE_ANSWERS = {
    "HTTP/1.0, which ends with the connection": b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
    "HTTP/1.1 without a length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PAGE,
    "chunks that cut lines and numbers": CHUNKED + b"\r\n" + b"".join(chunks(PAGE)) + b"0\r\n\r\n",
    "chunks with extensions, and a trailer": b"".join(
        (CHUNKED, b"Trailer: X-Took\r\n\r\n", *chunks(PAGE, b";name=value"), b"0\r\nX-Took: 1\r\n\r\n")
    ),
    "a hundred times 'continue' before it": b"HTTP/1.1 100 Continue\r\n\r\n" * 100
    + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
}
REFUSED_ANSWERS = {
    "chunks that end within a line": (CHUNKED + b"\r\n" + b"".join(chunks(PAGE))[:5000], "connection"),
    "chunks that lack the last one": (CHUNKED + b"\r\n" + b"".join(chunks(PAGE)), "connection"),
    "a chunk whose length is none": (CHUNKED + b"\r\nzz\r\n" + PAGE, "protocol"),
    "a chunk that is longer than it says": (CHUNKED + b"\r\n5\r\n" + PAGE + b"\r\n0\r\n\r\n", "protocol"),
    "a length that is longer": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + PAGE, "connection"),
    "a length below 0": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + PAGE, "protocol"),
    "a length that is no number": (b"HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n" + PAGE, "protocol"),
    "a length and chunks": (CHUNKED + b"Content-Length: 9\r\n\r\n" + b"".join(chunks(PAGE)) + b"0\r\n\r\n", "protocol"),
    "half of a page": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 9\r\n\r\n" + PAGE[:9], "status"),
}


async def scraped(probe: MakeProbe, answer: bytes) -> Scrape | ScrapeFailed:
    """What a scrape of this answer comes to; the connection is closed after it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with serve_raw(handle) as url:
        return await probe(url).once()


@pytest.mark.parametrize("answer", WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS.keys())
async def test_an_odd_form_is_read_to_the_last_number(probe: MakeProbe, answer: bytes) -> None:
    """As the page is that is read in one piece."""
    scrape = await scraped(probe, answer)
    assert isinstance(scrape, Scrape), scrape
    assert (scrape.engines, scrape.bad_lines) == (WHOLE.engines, 0)


@pytest.mark.parametrize(("answer", "reason"), REFUSED_ANSWERS.values(), ids=REFUSED_ANSWERS.keys())
async def test_an_answer_that_lies_about_its_length_is_refused(probe: MakeProbe, answer: bytes, reason: str) -> None:
    """Nothing of it is taken, however much of it was a page."""
    failure = await scraped(probe, answer)
    assert isinstance(failure, ScrapeFailed), failure
    assert failure.reason == reason


@pytest.mark.parametrize("missing", [1, 2, 5, 300])
async def test_a_number_that_is_cut_is_not_read(probe: MakeProbe, missing: int) -> None:
    """Neither a length that is too short nor the end of the connection says so: the last line has no line feed."""
    page = b"".join(line for line in PAGE.splitlines(keepends=True) if b"generation_tokens_total{" not in line)
    last = b'vllm:generation_tokens_total{engine="0",model_name="m"} 123456789.0\n'
    kept = (page + last)[:-missing]
    for head in (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(kept)):
        scrape = await scraped(probe, head + kept)
        assert isinstance(scrape, Scrape), scrape
        assert all(engine.generation_tokens is None for engine in scrape.engines)


async def test_what_follows_an_answer_is_no_part_of_the_next(probe: MakeProbe) -> None:
    """On a connection that is kept, more bytes than the length said cost that connection and nothing else."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\nvllm:num_requests_running 77\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer + extra)
            await writer.drain()

    async with serve_raw(handle) as url:
        scraping = probe(url)
        found = [await scraping.once() for _ in range(6)]
    right = [fact for fact in found if isinstance(fact, Scrape)]
    assert len(right) >= len(found) / 2
    assert all(scrape.engines == WHOLE.engines for scrape in right)


def has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_literal_address_of_ipv6_is_scraped(probe: MakeProbe) -> None:
    """In brackets, as in any URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(WHOLE_ANSWERS["HTTP/1.0, which ends with the connection"])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "::1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await probe(f"http://[::1]:{port}").success()).engines == WHOLE.engines


@pytest.fixture
def expired(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that was valid until yesterday, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, request, certificate = (tmp_path / f"{name}.pem" for name in ("key", "request", "certificate"))
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    start = end - datetime.timedelta(days=9)
    (tmp_path / "index").write_text("")
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index\nserial={tmp_path}/serial\nnew_certs_dir={tmp_path}\n"
        "default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
        "[x]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:true\n"
    )
    make = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(request)], check=True, capture_output=True)
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", str(tmp_path / "ca.cnf"), "-keyfile", str(key)]
    dates = ["-startdate", f"{start:%y%m%d%H%M%SZ}", "-enddate", f"{end:%y%m%d%H%M%SZ}"]
    subprocess.run([*sign, *dates, "-in", str(request), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


async def test_a_certificate_that_has_expired_is_named(probe: MakeProbe, expired: tuple[Path, Path]) -> None:
    """The scrape fails as "tls", and the words say that it is the date."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*expired)

    async def page(_request: web.Request) -> web.Response:
        return text_response(PAGE)

    async with serve(page, context) as url:
        failure = await probe(url, credentials=Credentials(ca_file=expired[0])).failure()
    assert (failure.reason, failure.detail) == ("tls", "certificate has expired")


async def test_a_server_that_answers_and_then_keeps_silent_is_late(probe: MakeProbe) -> None:
    """Half of the page, and a connection that stays open: the scrape ends with its timeout, as the whole is late."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + b"\r\n" + b"".join(chunks(PAGE[: len(PAGE) // 2])))
        await writer.drain()
        await asyncio.sleep(60.0)

    async with serve_raw(handle) as url:
        failure = await probe(url, timeout_seconds=0.3).failure()
    assert failure.reason == "timeout"
