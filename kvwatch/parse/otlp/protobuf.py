"""OTLP traces in protobuf: ``ExportTraceServiceRequest`` bytes → :class:`kvwatch.parse.otlp.spans.Export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

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
)
from kvwatch.parse.otlp.wire import WireError, fields, pieces

# Numbers of the fields walked, from opentelemetry/proto/trace/v1/trace.proto and its collector's service.
_RESOURCE_SPANS = 1
_RESOURCE = 1
_SCOPE_SPANS = 2
_SPANS = 2

_SLOTS = _PROMPT, _COMPLETION, _TENANT, _MODEL = range(4)
_SCALARS = frozenset(("string_value", "bool_value", "int_value", "double_value"))


def read_protobuf(body: bytes, keys: AttributeKeys) -> Export:
    """What an export says about requests. Never raises; reasons for a refusal: "not_protobuf", "too_many"."""
    reader = _Reader(body, keys)
    export = reader.export
    try:
        for start, end in fields(body, 0, len(body), _RESOURCE_SPANS):
            export.charge(1)
            if start != end:
                reader.read_resource_spans(start, end)
    except (WireError, DecodeError) as error:
        export = export.refuse("not_protobuf", error)
    except TooManyError as error:
        export = export.refuse("too_many", error)
    return export.weighed(len(body))


class _Reader:
    """Reads one export; remembers where spans keep their attributes, since those of one sender are all alike."""

    def __init__(self, body: bytes, keys: AttributeKeys) -> None:
        self.export = Export()
        self._body = body
        self._keys = keys
        wanted = (PROMPT_TOKENS, COMPLETION_TOKENS, keys.tenant, keys.model)
        self._wanted = [(slot, key) for slot, key in enumerate(wanted) if key is not None]
        self._places = [MAX_ATTRIBUTES] * len(wanted)

    def read_resource_spans(self, start: int, end: int) -> None:
        # a message that comes in parts is, by protobuf's rules, all of them one after the other
        resource = b"".join(self._body[a:b] for a, b in self._counted(start, end, _RESOURCE))
        attributes = self._resource(resource) if resource and self._keys.of_resources else {}
        for a, b in self._counted(start, end, _SCOPE_SPANS):
            for piece, count in pieces(self._body, a, b, _SPANS, MAX_SPAN_BYTES):
                self.export.charge(count)
                if not piece:
                    self.export.invalid["too_large"] += 1
                for span in ScopeSpans.FromString(piece).spans:
                    self._read_span(span, attributes)

    def _resource(self, content: bytes) -> dict[str, object]:
        check_resource_bytes(len(content))
        attributes = Resource.FromString(content).attributes
        check_resource_attributes(len(attributes))
        return _values(attributes)

    def _counted(self, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
        """The contents of the fields of one number; every field that is passed on the way counts as work."""
        for a, b in fields(self._body, start, end, number):
            self.export.charge(1)
            if a != b:
                yield a, b

    def _read_span(self, span: Span, resource: Mapping[str, object]) -> None:
        export, keys = self.export, self._keys
        if span.name != REQUEST_SPAN:
            export.ignored += 1
            return
        attributes = span.attributes
        if len(attributes) > MAX_ATTRIBUTES:
            export.invalid["too_large"] += 1
            return
        found = self._find(attributes)
        if found[_TENANT] is None and keys.tenant is not None:
            found[_TENANT] = resource.get(keys.tenant)
        if found[_MODEL] is None and keys.model is not None:
            found[_MODEL] = resource.get(keys.model)
        trace_id, span_id = span.trace_id, span.span_id
        times = span.start_time_unix_nano, span.end_time_unix_nano
        record = request(trace_id, span_id, times, found, keys)
        if isinstance(record, str):
            export.invalid[record] += 1
        else:
            target = None if keys.target is None else text(resource.get(keys.target))
            export.requests.append(SpanRequest(trace_id + span_id, target, record))

    def _find(self, attributes: Sequence[KeyValue]) -> list[object]:
        """The values of the wanted attributes, looked for where the span before had them."""
        found: list[object] = [None] * len(_SLOTS)
        names: list[str] | None = None
        count = len(attributes)
        for slot, wanted in self._wanted:
            place = self._places[slot]
            if place >= count or (pair := attributes[place]).key != wanted:
                if names is None:
                    names = [pair.key for pair in attributes]
                if wanted not in names:
                    continue
                place = self._places[slot] = names.index(wanted)
                pair = attributes[place]
            value = pair.value
            # a number that is not 0 shows the kind at once
            found[slot] = value.int_value or _value(value)
        return found


def _values(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: AnyValue) -> object:
    """A scalar as itself; ``None`` where the value is not given, and the kind's name where it is no scalar."""
    kind = value.WhichOneof("value")
    if kind == "int_value":
        return value.int_value
    if kind in _SCALARS:
        return getattr(value, kind)
    return None if kind is None else (kind,)
