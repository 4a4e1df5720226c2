"""Which fields of a JSON log hold what: paths for each quantity, and the presets for what writes such logs.

A path is a row of keys, outermost first. Where a quantity has several, the first that the line has counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str, ...]
Paths = tuple[Path, ...]

QUANTITIES: dict[str, str] = {
    "finish": "when the request ended",
    "arrival": "when it came; else the end less the duration, else the end",
    "duration_seconds": "how long it took, in seconds",
    "duration_ms": "how long it took, in milliseconds",
    "prompt_tokens": "length of the prompt",
    "completion_tokens": "number of tokens generated",
    "cached_tokens": "tokens of the prompt that came from the prefix cache",
    "status": "2xx, `success` or `ok` where it succeeded; a missing one is a success",
    "tenant": "whom the request is charged to",
    "model": "the model's name as vLLM's label `model_name` has it",
    "engine": "vLLM's label `engine`",
    "response_flags": "Envoy's: with `DC` or `DR` among them the client left before the end",
    "request_completion": "NGINX's: `OK`, or empty where the client left before the end",
}
"""What can be read from a line, with its meaning."""


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Paths by quantity, and ``only``: values that a path must have for the line to count."""

    paths: Mapping[str, Paths]
    only: Mapping[Path, frozenset[str]] = field(default_factory=dict)

    def over(self, other: FieldMap) -> FieldMap:
        """These paths where given, else the other's."""
        return FieldMap({**other.paths, **self.paths}, {**other.only, **self.only})


def spelled(path: str) -> Paths:
    """The paths that a user's ``a.b`` can mean: ``b`` within ``a``, or a key that has the dot in it."""
    nested = tuple(path.split("."))
    return (nested,) if len(nested) == 1 else (nested, (path,))


def _keys(**keys: str | tuple[str, ...]) -> FieldMap:
    """Each quantity's keys, with any dots a part of them."""
    return FieldMap({q: tuple((key,) for key in ((k,) if isinstance(k, str) else k)) for q, k in keys.items()})


KVWATCH = _keys(
    finish="finish",
    arrival="arrival",
    prompt_tokens="prompt_tokens",
    completion_tokens="completion_tokens",
    cached_tokens="cached_tokens",
    status="status",
    tenant="tenant",
    model="model_name",
    engine="engine",
)
"""A recording's requests.jsonl."""

LITELLM = FieldMap(
    {
        "finish": (("endTime",),),
        "arrival": (("startTime",),),
        "prompt_tokens": (("prompt_tokens",),),
        "completion_tokens": (("completion_tokens",),),
        "status": (("status",),),
        "tenant": (("metadata", "user_api_key_hash"),),
    }
)
"""LiteLLM's StandardLoggingPayload, as its docs specify it (docs.litellm.ai, "StandardLoggingPayload Specification"):
times in unix seconds, status "success" or "failure"."""

ENVOY = _keys(
    arrival=("start_time", "timestamp"),
    duration_ms=("duration", "duration_ms"),
    prompt_tokens=(
        "gen_ai.usage.input_tokens",
        "genai_tokens_input",
        "llm_input_token",
        "input_tokens",
        "prompt_tokens",
    ),
    completion_tokens=(
        "gen_ai.usage.output_tokens",
        "genai_tokens_output",
        "llm_output_token",
        "output_tokens",
        "completion_tokens",
    ),
    status="response_code",
    response_flags=("response_flags", "response_flags_long"),
)
"""Envoy's JSON access log as Envoy AI Gateway and Istio configure it: start_time in ISO 8601, duration in ms, the token
counts from the metadata io.envoy.ai_gateway under the key that the gateway's user has given them
(aigateway.envoyproxy.io, "Access Logs With AI/LLM Metadata"; its own default names them gen_ai.usage.*)."""

NGINX = _keys(
    finish=("msec", "time_iso8601", "time", "timestamp", "@timestamp"),
    duration_seconds="request_time",
    prompt_tokens="prompt_tokens",
    completion_tokens="completion_tokens",
    status="status",
    request_completion="request_completion",
)
"""NGINX with ``log_format … escape=json``, keys named as the variables: it writes when the request ended ($msec, or
$time_iso8601) and $request_time in seconds. Tokens are in none of its variables; they are there where a script or a
header of the upstream puts them."""

OTEL = _keys(
    finish="timeUnixNano",
    arrival="start_time",
    duration_seconds=("gen_ai.latency.e2e", "gen_ai.server.request.duration"),
    duration_ms=("duration", "duration_ms"),
    prompt_tokens=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    completion_tokens=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    status=("http.response.status_code", "response_code", "status"),
    response_flags=("response_flags", "response.flags"),
)
"""OTLP's JSON (OpenTelemetry Protocol File Exporter): one request a log record, quantities in its attributes, named by
the semantic conventions for generative AI, present and former. ``timeUnixNano`` is the record's own time."""

JSON = FieldMap({})
"""Any other JSON: every field is the user's to name."""

PRESETS: dict[str, FieldMap] = {
    "kvwatch": KVWATCH,
    "litellm": LITELLM,
    "envoy": ENVOY,
    "nginx": NGINX,
    "otel": OTEL,
    "json": JSON,
}
