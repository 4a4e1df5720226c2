"""OTLP traces in JSON: lowerCamelCase keys, ids in hexadecimal, 64-bit numbers as text or as numbers.

The frames are decoded first and each span by itself, so that one span of a wrong shape costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kvwatch.parse.otlp.spans import (
    COMPLETION_TOKENS,
    MAX_ATTRIBUTES,
    MAX_SPAN_BYTES,
    PROMPT_TOKENS,
    REQUEST_SPAN,
    AttributeKeys,
    Export,
    SpanRequest,
    TooManyError,
    check_resource_attributes,
    check_resource_bytes,
    request,
    text,
    whole_number,
)

_BYTES_A_VALUE = 16
"""No real export has more values than one in so many bytes; ``[0,0,0…`` does, and would cost thirty times its size."""

_MANY_VALUES = 1000
_NOTHING = msgspec.Raw(b"")


class _Value(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | float | str | None = None
    double_value: float | str | None = None
    array_value: msgspec.Raw = _NOTHING
    kvlist_value: msgspec.Raw = _NOTHING
    bytes_value: msgspec.Raw = _NOTHING


class _Attribute(msgspec.Struct):
    key: str = ""
    value: _Value | None = None


class _Span(msgspec.Struct, rename="camel"):
    name: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_Attribute] | None = None


class _Name(msgspec.Struct):
    name: str | None = None


class _ScopeSpans(msgspec.Struct):
    spans: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Attribute] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: msgspec.Raw = _NOTHING
    scope_spans: list[msgspec.Raw] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[msgspec.Raw] | None = None


_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder(_Request).decode
_decode_resource_spans = msgspec.json.Decoder(_ResourceSpans | None).decode
_decode_scope_spans = msgspec.json.Decoder(_ScopeSpans | None).decode
_decode_resource = msgspec.json.Decoder(_Resource | None).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_decode_name = msgspec.json.Decoder(_Name).decode


def read_json(body: bytes, keys: AttributeKeys) -> Export:
    """What an export says about requests. Never raises; reasons for a refusal: "not_json", "not_otlp", "too_many"."""
    export = Export()
    try:
        _check_density(body)
        # frame by frame: a decoder lets no other thread run meanwhile
        for frame in _decode(body).resource_spans or ():
            export.charge(1)
            resource_spans = _decode_resource_spans(frame) or _ResourceSpans()
            attributes = _resource(resource_spans.resource, keys)
            for scope in resource_spans.scope_spans or ():
                spans = (_decode_scope_spans(scope) or _ScopeSpans()).spans or ()
                export.charge(1 + len(spans))
                for raw in spans:
                    _read_span(bytes(raw), attributes, keys, export)
    except msgspec.ValidationError as error:
        export = export.refuse("not_otlp", error)
    except _FAULTS as error:
        export = export.refuse("not_json", error)
    except TooManyError as error:
        export = export.refuse("too_many", error)
    return export.weighed(len(body))


def _check_density(body: bytes) -> None:
    if body.count(b",") > len(body) // _BYTES_A_VALUE + _MANY_VALUES:
        raise TooManyError("more values than spans of that length have")


def _resource(raw: msgspec.Raw, keys: AttributeKeys) -> dict[str | None, object]:
    """The attributes of a resource that are asked for."""
    if not keys.of_resources or not bytes(raw):
        return {}
    check_resource_bytes(len(bytes(raw)))
    attributes = (_decode_resource(raw) or _Resource()).attributes or ()
    check_resource_attributes(len(attributes))
    return _values(attributes, keys.of_resources)


def _read_span(raw: bytes, resource: dict[str | None, object], keys: AttributeKeys, export: Export) -> None:
    if len(raw) > MAX_SPAN_BYTES:
        export.invalid["too_large"] += 1
        return
    try:
        if _decode_name(raw).name != REQUEST_SPAN:
            export.ignored += 1
            return
        span = _decode_span(raw)
    except _FAULTS:
        export.invalid["not_a_span"] += 1
        return
    if len(span.attributes or ()) > MAX_ATTRIBUTES:
        export.invalid["too_large"] += 1
        return
    wanted = [PROMPT_TOKENS, COMPLETION_TOKENS, keys.tenant, keys.model]
    own = _values(span.attributes, wanted)
    found = [own.get(key) if key in own else _inherited(key, resource) for key in wanted]
    trace_id, span_id = _id(span.trace_id), _id(span.span_id)
    times = whole_number(span.start_time_unix_nano) or 0, whole_number(span.end_time_unix_nano) or 0
    record = request(trace_id, span_id, times, found, keys)
    if isinstance(record, str):
        export.invalid[record] += 1
    else:
        target = None if keys.target is None else text(resource.get(keys.target))
        export.requests.append(SpanRequest(trace_id + span_id, target, record))


def _id(digits: str | None) -> bytes:
    """The bytes of an id; none for what is not hexadecimal, which no check lets pass."""
    try:
        return bytes.fromhex(digits or "")
    except ValueError:
        return b""


def _inherited(key: str | None, resource: dict[str | None, object]) -> object:
    """What the resource says where the span says nothing; lengths are of the span alone."""
    return None if key in (PROMPT_TOKENS, COMPLETION_TOKENS) else resource.get(key)


def _values(attributes: Sequence[_Attribute] | None, wanted: Sequence[str | None]) -> dict[str | None, object]:
    """The values of the wanted attributes that have one."""
    found: dict[str | None, object] = {}
    for pair in attributes or ():
        if pair.key in wanted and pair.value is not None:
            value = _value(pair.value)
            if value is not None:
                found[pair.key] = value
    return found


def _value(value: _Value) -> object:
    """A scalar as itself, and a mark that is none where a value of another kind is given."""
    if value.string_value is not None:
        return value.string_value
    if value.bool_value is not None:
        return value.bool_value
    if value.int_value is not None:
        number = whole_number(value.int_value)
        return number if number is not None else ("int_value",)
    if isinstance(value.double_value, str):
        return ("double_value",)  # "NaN", "Infinity" and "-Infinity"
    if value.double_value is not None:
        return value.double_value
    others = (value.array_value, value.kvlist_value, value.bytes_value)
    return ("other",) if any(bytes(other) not in (b"", b"null") for other in others) else None
