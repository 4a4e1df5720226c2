"""Exports as an OpenTelemetry exporter makes them: in protobuf with OpenTelemetry's own classes, and in JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from kvwatch.parse.otlp.json import read_json
from kvwatch.parse.otlp.protobuf import read_protobuf
from kvwatch.parse.otlp.spans import COMPLETION_TOKENS, PROMPT_TOKENS, AttributeKeys, Export

START, END = 1_700_000_000_250_000_000, 1_700_000_003_500_000_000

Read = Callable[[ExportTraceServiceRequest, AttributeKeys], Export]


def pair(key: str, value: object) -> KeyValue:
    """An attribute; a list becomes an array, and None a value of no kind."""
    found = KeyValue(key=key)
    match value:
        case None:
            found.value.SetInParent()
        case bool():
            found.value.bool_value = value
        case int():
            found.value.int_value = value
        case float():
            found.value.double_value = value
        case str():
            found.value.string_value = value
        case bytes():
            found.value.bytes_value = value
        case list():
            found.value.array_value.values.extend(AnyValue(string_value=str(item)) for item in value)
    return found


def span(
    number: int = 1, attributes: Mapping[str, object] | None = None, *, without: Iterable[str] = (), **fields: Any
) -> Span:
    """VLLM's span of a request with 12 + 34 tokens, changed as asked; ``number`` makes its ids."""
    given = {
        "gen_ai.latency.time_to_first_token": 0.125,
        "gen_ai.latency.e2e": 3.25,
        PROMPT_TOKENS: 12,
        COMPLETION_TOKENS: 34,
        "gen_ai.request.id": f"cmpl-{number}",
        "gen_ai.request.max_tokens": 34,
        **(attributes or {}),
    }
    settings = {
        "name": "llm_request",
        "kind": Span.SPAN_KIND_SERVER,
        "trace_id": (2**100 + number).to_bytes(16, "big"),
        "span_id": (2**50 + number).to_bytes(8, "big"),
        "start_time_unix_nano": START,
        "end_time_unix_nano": END,
        **fields,
    }
    found = Span(**settings)
    found.attributes.extend(pair(key, value) for key, value in given.items() if key not in set(without))
    return found


def export(*spans: Span, resource: Mapping[str, object] | None = None) -> ExportTraceServiceRequest:
    """One export of one sender."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
    resource_spans.resource.attributes.extend(pair(key, value) for key, value in (resource or {}).items())
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "vllm.llm_engine"
    scope_spans.spans.extend(spans)
    return request


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """The same in OTLP/JSON, where ids are hexadecimal and enums numbers."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in document.get("resourceSpans", ()):
        for scope_spans in resource_spans.get("scopeSpans", ()):
            for found in scope_spans.get("spans", ()):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in found:
                        found[key] = base64.b64decode(found[key]).hex()
    return json.dumps(document).encode()


READERS: dict[str, Read] = {
    "protobuf": lambda request, keys: read_protobuf(request.SerializeToString(), keys),
    "json": lambda request, keys: read_json(as_json(request), keys),
}
