"""Protobuf as it may come over the wire: in parts, with fields of other versions, damaged, or made to hurt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from kvwatch.parse.otlp.protobuf import read_protobuf
from kvwatch.parse.otlp.spans import MAX_FRAMES, MAX_SPAN_BYTES, AttributeKeys
from kvwatch.parse.otlp.wire import PIECE_BYTES, WireError, pieces
from tests.parse.otlp.exports import export, span

KEYS = AttributeKeys("service.name", "enduser.id", "gen_ai.request.model")
SPANS = 2
"""Number of the field of a scope that holds its spans."""


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


BODY = export(*(span(number) for number in range(40)), resource={"service.name": "eu"}).SerializeToString()


def test_many_spans_are_all_read() -> None:
    """An export of many pieces' length, each span once and in order."""
    request = export(*(span(number, {"note": "x" * (number % 700)}) for number in range(1, 2001)))
    body = request.SerializeToString()
    assert len(body) > 10 * PIECE_BYTES
    found = read_protobuf(body, KEYS)
    assert [int.from_bytes(request.span[-2:], "big") for request in found.requests] == list(range(1, 2001))


def test_messages_may_come_in_parts_and_in_any_order() -> None:
    """The resource after the spans and in two parts is what the spans have, as protobuf's rules want it."""
    request = export(span(1), span(2), resource={"service.name": "eu", "enduser.id": "me"})
    (whole,) = request.resource_spans
    first, second = (field(1, attribute.SerializeToString()) for attribute in whole.resource.attributes)
    parts = [field(1, first), field(1, second), field(2, whole.scope_spans[0].SerializeToString())]
    for order in ((0, 1, 2), (2, 0, 1), (0, 2, 1)):
        body = field(1, b"".join(parts[index] for index in order))
        found = read_protobuf(body, KEYS)
        assert [(r.target, r.record.tenant) for r in found.requests] == [("eu", "me"), ("eu", "me")]


@pytest.mark.parametrize(
    "unknown",
    [
        field(900, b"later"),
        varint(901 << 3) + varint(2**64 - 1),
        varint(902 << 3 | 1) + bytes(8),
        varint(903 << 3 | 5) + bytes(4),
    ],
    ids=["bytes", "number", "fixed64", "fixed32"],
)
def test_fields_of_later_versions_are_skipped(unknown: bytes) -> None:
    """At every level, of every wire type."""
    made = span(1).SerializeToString() + unknown
    scope = unknown + field(2, made) + unknown
    body = unknown + field(1, unknown + field(2, scope) + unknown) + unknown
    found = read_protobuf(body, KEYS)
    assert (found.refused, len(found.requests)) == (None, 1)


@pytest.mark.parametrize("end", range(1, len(BODY), 97))
def test_a_cut_off_export_is_refused_whole(end: int) -> None:
    """Nothing of it counts, so that it may be sent again."""
    found = read_protobuf(BODY[:end], KEYS)
    assert found.refused is not None
    assert (found.refused.reason, found.requests) == ("not_protobuf", [])


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"\x0b\x0c",
        b"\x02\x00",
        b"\x0a" + b"\xff" * 11,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x80" * 20,
        b"\x0a",
        b"\x0f",
    ],
    ids=repr,
)
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    """JSON by mistake, groups, field 0, endless and overlong lengths, wire types that there are none of."""
    found = read_protobuf(body, KEYS)
    assert found.refused is not None
    assert found.refused.reason == "not_protobuf"


def test_text_that_is_not_utf8_is_refused() -> None:
    """Protobuf's strings are UTF-8."""
    body = export(span(1)).SerializeToString().replace(b"cmpl-1", b"cmpl-\xff")
    found = read_protobuf(body, KEYS)
    assert found.refused is not None


@pytest.mark.parametrize(
    "body",
    [b"\x0a\x00" * 2_000_000, field(1, b"\x12\x00" * 2_000_000), field(1, field(2, b"\x12\x00" * 2_000_000))],
    ids=["resources", "scopes", "spans"],
)
def test_millions_of_empty_frames_are_given_up(body: bytes) -> None:
    """Two bytes each: after as many as no exporter sends the rest is not looked at."""
    found = read_protobuf(body, KEYS)
    assert found.refused is not None
    assert found.refused.reason == "too_many"
    assert MAX_FRAMES < found.cost < MAX_FRAMES + PIECE_BYTES


def test_a_resource_of_megabytes_is_refused() -> None:
    """In parts that are each small."""
    body = field(1, field(1, field(1, field(1, b"x" * 1000))) * (2 * MAX_SPAN_BYTES // 1000))
    found = read_protobuf(body, KEYS)
    assert found.refused is not None


@given(st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    """Whatever they are: alone, as a resource's spans, as a scope's, and as a span."""
    for wrapped in (body, field(1, body), field(1, field(2, body)), field(1, field(2, field(2, body)))):
        read_protobuf(wrapped, KEYS)


@given(st.integers(0, len(BODY) - 1), st.binary(max_size=4), st.integers(0, 4))
def test_no_damage_raises(at: int, other: bytes, width: int) -> None:
    """Bytes of a good export replaced, removed or added: fewer requests or a refusal, never more."""
    found = read_protobuf(BODY[:at] + other + BODY[at + width :], KEYS)
    assert len(found.requests) <= 40


@given(
    st.lists(st.one_of(st.integers(0, 3000), st.integers(0, 3 * PIECE_BYTES)), max_size=12),
    st.sampled_from([1000, PIECE_BYTES, 10 * PIECE_BYTES]),
)
def test_pieces_are_bounded_and_make_the_whole(sizes: list[int], limit: int) -> None:
    """Together the pieces hold each span that is not too long once, in order, and none is longer than allowed."""
    spans = [Span(name="n" * size).SerializeToString() for size in sizes]
    message = b"".join(field(2, made) for made in spans)
    found = list(pieces(b"??" + message + b"??", 2, 2 + len(message), SPANS, limit))
    kept = [made for piece, _ in found for made in ScopeSpans.FromString(piece).spans]
    fits = [made for made in spans if len(field(2, made)) <= limit]
    assert [made.SerializeToString() for made in kept] == fits
    assert all(len(piece) <= PIECE_BYTES + limit for piece, _ in found)
    assert sum(count for _, count in found) == len(spans)
    assert sum(not piece for piece, _ in found) == len(spans) - len(fits)


def test_a_length_beyond_the_frame_is_an_error() -> None:
    """A span may not reach into what follows its scope."""
    with pytest.raises(WireError):
        list(pieces(b"\x12\x05abcdefgh", 0, 4, SPANS, 100))
