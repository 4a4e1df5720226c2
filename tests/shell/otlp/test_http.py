"""``POST /v1/traces`` by the OTLP specification: what is answered to what, and what a bad sender can do to it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from kvwatch.shell.otlp.http import TracesEndpoint
from tests.parse.otlp.exports import as_json, export, span
from tests.shell.otlp.receiving import JSON, Receiving, receiving

GOOD = export(span(1), span(2)).SerializeToString()


def message(body: bytes) -> str:
    """The message of a failure in protobuf; google.rpc.Status has it in the same field."""
    return str(Status.FromString(body).message)


async def test_an_export_in_protobuf_is_answered_in_protobuf() -> None:
    """Full success is an empty message."""
    async with receiving() as it:
        status, body, headers = await it.post(GOOD)
        assert (status, body, headers["Content-Type"]) == (200, b"", "application/x-protobuf")
        assert [target for target, _ in it.taken.requests] == ["vllm", "vllm"]
        assert it.results() == {"request": 2}


async def test_an_export_in_json_is_answered_in_json() -> None:
    """Also with a charset in the content type."""
    async with receiving() as it:
        for number, kind in enumerate(("application/json", "application/json; charset=utf-8")):
            status, body, headers = await it.post(as_json(export(span(number + 1))), Content_Type=kind)
            assert (status, json.loads(body)) == (200, {})
            assert headers["Content-Type"].startswith("application/json")
        assert it.results() == {"request": 2}


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress), ("identity", bytes)],
)
async def test_compressed_exports_are_read(encoding: str, encode: type[bytes]) -> None:
    """Both that OpenTelemetry's exporters know."""
    async with receiving() as it:
        assert (await it.post(encode(GOOD), Content_Encoding=encoding))[0] == 200
        assert it.results() == {"request": 2}


async def test_a_gzip_body_may_have_several_members() -> None:
    """RFC 1952 has them one after the other; the limits hold of all together."""
    half = len(GOOD) // 2
    members = gzip.compress(GOOD[:half]) + gzip.compress(b"") + gzip.compress(GOOD[half:])
    zeros = gzip.compress(bytes(40_000))
    async with receiving(max_body_bytes=65536) as it:
        assert (await it.post(members, Content_Encoding="gzip"))[0] == 200
        assert it.results() == {"request": 2}
        assert (await it.post(zeros + zeros, Content_Encoding="gzip"))[0] == 413
        assert (await it.post(members[:-5], Content_Encoding="gzip"))[0] == 400
        assert (await it.post(gzip.compress(b"") * 1001, Content_Encoding="gzip"))[0] == 400


async def test_what_is_rejected_is_said() -> None:
    """Partial success: 200, how many spans, and why in words; the good ones count."""
    bad = export(span(1), span(2, {"gen_ai.usage.prompt_tokens": -1}), span(3, name="other"))
    async with receiving() as it:
        status, body, _ = await it.post(bad.SerializeToString())
        answer = ExportTraceServiceResponse.FromString(body).partial_success
        assert (status, answer.rejected_spans) == (200, 1)
        assert "bad_tokens" in answer.error_message
        status, body, _ = await it.post(as_json(bad), Content_Type=JSON["Content-Type"])
        assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"
        assert it.results() == {"request": 1, "duplicate": 1, "invalid": 2, "ignored": 2}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"\x0a\x05x", 400),
        ({}, b"{}", 400),
        (JSON, b"{", 400),
        ({"Content-Encoding": "gzip"}, b"not gzip", 400),
        ({"Content-Encoding": "gzip"}, gzip.compress(GOOD)[:-5], 400),
        ({"Content-Encoding": "gzip"}, gzip.compress(GOOD) + b"more", 400),
        ({"Content-Encoding": "deflate"}, zlib.compress(GOOD) + zlib.compress(b""), 400),
        ({"Content-Encoding": "br"}, GOOD, 415),
        ({"Content-Type": "text/plain"}, GOOD, 415),
        ({"Content-Type": ""}, GOOD, 415),
    ],
)
async def test_what_cannot_be_read_is_refused_for_good(headers: dict[str, str], body: bytes, status: int) -> None:
    """A status that no exporter tries again, the reason in the body, and nothing counted."""
    async with receiving() as it:
        answer, text, _ = await it.post(body, **{name.replace("-", "_"): value for name, value in headers.items()})
        assert answer == status
        assert json.loads(text)["message"] if headers is JSON else message(text)
        assert it.results() == {}
        assert (await it.post(GOOD))[0] == 200


async def test_an_empty_export_is_fine() -> None:
    """It is valid protobuf, and a way to try the address."""
    async with receiving() as it:
        assert (await it.post(b""))[0] == 200


async def test_other_methods_are_refused() -> None:
    """With what is allowed."""
    async with receiving() as it, it.session.get(it.url + "/v1/traces") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_too_long_exports_are_refused_without_being_held() -> None:
    """Announced, sent in chunks, or grown from a few kilobytes of gzip; the limit itself is allowed."""
    limit = 64 * 1024
    fits = export(span(1, {"x": "y" * (limit - len(export(span(1, {"x": ""})).SerializeToString()) - 12)}))
    assert limit - 12 <= len(fits.SerializeToString()) <= limit

    async def chunks() -> object:
        for _ in range(10):
            yield b"x" * 16384

    async with receiving(max_body_bytes=limit) as it:
        assert (await it.post(fits.SerializeToString()))[0] == 200
        assert (await it.post(b"x" * (limit + 1)))[0] == 413
        assert (await it.post(gzip.compress(bytes(100 * limit)), Content_Encoding="gzip"))[0] == 413
        assert (await it.post(chunks()))[0] == 413  # type: ignore[arg-type]
        assert it.results() == {"request": 1}


async def test_a_rate_above_the_limit_is_put_off() -> None:
    """429 with the seconds to wait, before anything is read; then it is taken again."""
    many = export(*(span(number) for number in range(1, 301))).SerializeToString()
    async with receiving(max_spans_per_second=100) as it:
        assert (await it.post(many))[0] == 200
        status, body, headers = await it.post(b"not even looked at")
        assert (status, headers["Retry-After"]) == (429, "3")
        assert "max_spans_per_second" in message(body)
        it.now += 1.9
        assert (await it.post(GOOD))[0] == 429
        it.now += 0.3
        assert (await it.post(export(span(999)).SerializeToString()))[0] == 200
        assert it.results() == {"request": 301}


async def test_too_many_bytes_at_a_time_are_put_off() -> None:
    """503 with Retry-After while slow senders hold all there is, and again room when they are gone."""
    limit = 64 * 1024
    async with receiving(max_body_bytes=limit) as it:
        slow = [await begin(it, limit) for _ in range(4)]
        async with asyncio.timeout(10):
            while (await it.post(GOOD))[0] != 503:  # noqa: ASYNC110 - the answer comes over HTTP
                await asyncio.sleep(0.01)
        _, _, headers = await it.post(GOOD)
        assert headers["Retry-After"] == "1"
        for writer in slow:
            writer.close()
        async with asyncio.timeout(10):
            while (await it.post(GOOD))[0] != 200:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)


async def begin(it: Receiving, size: int) -> asyncio.StreamWriter:
    """Send all but the last byte of a body."""
    host, port = it.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {size}\r\n\r\n"
    )
    writer.write(head.encode() + b"\x0a" * (size - 1))
    await writer.drain()
    return writer


async def test_a_sender_that_dawdles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """408 when the body does not come in time."""
    monkeypatch.setitem(TracesEndpoint.__init__.__kwdefaults__, "body_seconds", 0.05)
    async with receiving() as it:
        host, port = it.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n123")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_a_broken_transfer_costs_nothing_else() -> None:
    """Chunks that are none, and a connection that ends in the middle."""
    async with receiving() as it:
        host, port = it.url.removeprefix("http://").split(":")
        head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        for rest in (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Content-Length: 100\r\n\r\n123"):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(head + rest)
            await writer.drain()
            writer.close()
        assert (await it.post(GOOD))[0] == 200
        assert it.results() == {"request": 2}


async def test_a_token_is_asked_for_where_one_is_set(tmp_path: Path) -> None:
    """401 without it and with another; a new token in the file holds at once, and a lost file lets nobody in."""
    file = tmp_path / "token"
    file.write_text("secret\n")
    async with receiving(bearer_token_file=file) as it:
        status, body, headers = await it.post(GOOD)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "secret" not in message(body)
        for wrong in ("Bearer", "Bearer secre", "Basic secret", "secret", "Bearer s\u00e9cret", "Bearer secret2"):
            assert (await it.post(GOOD, Authorization=wrong))[0] == 401
        assert (await it.post(GOOD, Authorization="Bearer secret"))[0] == 200
        assert (await it.post(GOOD, Authorization="bearer secret"))[0] == 200
        file.write_text("another secret")
        assert (await it.post(GOOD, Authorization="Bearer secret"))[0] == 401
        assert (await it.post(GOOD, Authorization="Bearer another secret"))[0] == 200
        file.unlink()
        assert (await it.post(GOOD, Authorization="Bearer another secret"))[0] == 401


async def test_the_path_may_name_the_target() -> None:
    """Names as they are in the configuration, escaped or not; an unknown one is not found, and nothing is read."""
    async with receiving("eu/a", "us:8000") as it:
        assert (await it.post(export(span(1)).SerializeToString(), "/v1/traces/eu%2Fa"))[0] == 200
        assert (await it.post(export(span(2)).SerializeToString(), "/v1/traces/us:8000"))[0] == 200
        assert (await it.post(export(span(3)).SerializeToString(), "/v1/traces/nobody"))[0] == 404
        assert [target for target, _ in it.taken.requests] == ["eu/a", "us:8000"]
