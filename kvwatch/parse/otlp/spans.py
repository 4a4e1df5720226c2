"""OTLP traces: what an export says about requests, from protobuf or JSON, read without holding much of it at a time.

vLLM sends a span named ``llm_request`` for each request that finished; its attributes hold both lengths. This module
has what the two encodings share: which span is a request, and what is wrong with one that is not quite.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from kvwatch.facts import Rejected, RequestRecord
from kvwatch.parse.tenant import TenantName, plain_tenant

REQUEST_SPAN = "llm_request"
PROMPT_TOKENS = "gen_ai.usage.prompt_tokens"
COMPLETION_TOKENS = "gen_ai.usage.completion_tokens"

MAX_SPAN_BYTES = 256 * 1024
MAX_ATTRIBUTES = 1024
MAX_FRAMES = 200_000
"""A span of vLLM's takes some 650 bytes: an export of 4 MiB has six thousand of them."""
_MAX_FAULT_CHARACTERS = 120
_MAX_TOKENS = 2**31 - 1
_MAX_NAME_CHARACTERS = 256
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_UNIX_NANO_END = 2**64
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")

REASONS = {
    "bad_id": "no trace id of 16 bytes or span id of 8, or all zeros",
    "bad_time": "no start or end, or an end before the start",
    "no_tokens": f"{PROMPT_TOKENS} or {COMPLETION_TOKENS} is missing",
    "bad_tokens": "a token count that is no whole number from 0 to 2^31 - 1",
    "too_large": f"more than {MAX_SPAN_BYTES} bytes or {MAX_ATTRIBUTES} attributes",
    "not_a_span": "not the shape of a span",
}
"""Why a span is invalid, and the same in words for its sender."""


@dataclass(frozen=True, slots=True)
class AttributeKeys:
    """Which attributes say more than vLLM's own: the target's name, the tenant and the model; ``None`` for none."""

    target: str | None = None
    tenant: str | None = None
    model: str | None = None
    tenant_name: TenantName = plain_tenant

    @property
    def of_resources(self) -> tuple[str, ...]:
        """What is looked for in resources too; vLLM's own attributes are the span's alone."""
        return tuple(key for key in (self.target, self.tenant, self.model) if key is not None)


class SpanRequest(msgspec.Struct, frozen=True, gc=False):
    """One request: its trace id and span id in one, what its resource says about the target, and the request."""

    span: bytes
    target: str | None
    record: RequestRecord


@dataclass(slots=True)
class Export:
    """What one export holds.

    ``cost`` is how much work it was, in spans: all frames in it, however empty, and no less than its KiB. Where
    ``refused`` says why it could not be read, nothing of it counts but that.
    """

    requests: list[SpanRequest] = field(default_factory=list)
    ignored: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    cost: int = 0
    refused: Rejected | None = None

    def charge(self, frames: int) -> None:
        """Count work; raises :class:`TooManyError` where it is more than any real export makes."""
        self.cost += frames
        if self.cost > MAX_FRAMES:
            raise TooManyError(f"more than {MAX_FRAMES} spans and frames; send fewer at a time")

    def refuse(self, reason: str, error: Exception) -> Export:
        """This export as one that could not be read."""
        return Export(cost=self.cost, refused=Rejected(reason, str(error)[:_MAX_FAULT_CHARACTERS]))

    def weighed(self, size_bytes: int) -> Export:
        """This export with the cost that its size alone makes."""
        self.cost = max(self.cost, size_bytes // 1024 + 1)
        return self


class TooManyError(ValueError):
    """An export of more frames than are read, or with a larger resource."""


def check_resource_bytes(size: int) -> None:
    """Raises :class:`TooManyError` for a resource that takes more than a span may."""
    if size > MAX_SPAN_BYTES:
        raise TooManyError(f"a resource of more than {MAX_SPAN_BYTES} bytes")


def check_resource_attributes(count: int) -> None:
    """Raises :class:`TooManyError` for a resource that has more attributes than a span may."""
    if count > MAX_ATTRIBUTES:
        raise TooManyError(f"a resource of more than {MAX_ATTRIBUTES} attributes")


def request(
    trace_id: bytes, span_id: bytes, times: tuple[int, int], found: Sequence[object], keys: AttributeKeys
) -> RequestRecord | str:
    """The request of a span named ``llm_request``, or the reason of :data:`REASONS` why it is none.

    ``times`` are start and end in unix nanoseconds, 0 where missing; ``found`` the values of the attributes for prompt
    tokens, completion tokens, tenant and model, each ``None`` where it is missing.
    """
    if len(trace_id) != _TRACE_ID_BYTES or len(span_id) != _SPAN_ID_BYTES or not (any(trace_id) and any(span_id)):
        return "bad_id"
    start, end = times
    if not 0 < start <= end < _UNIX_NANO_END:
        return "bad_time"
    asked, given, tenant, model = found
    if asked is None or given is None:
        return "no_tokens"
    prompt, completion = _tokens(asked), _tokens(given)
    if prompt is None or completion is None:
        return "bad_tokens"
    return RequestRecord(
        arrival=start / 10**9,
        finish=end / 10**9,
        prompt_tokens=prompt,
        completion_tokens=completion,
        source="otlp",
        tenant=None if tenant is None else keys.tenant_name(tenant),
        model_name=None if model is None else text(model),
    )


def text(value: object) -> str | None:
    """A name from an attribute: text that is not empty and not overlong."""
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARACTERS else None


def whole_number(value: object) -> int | None:
    """A 64-bit number as OTLP/JSON writes it: decimal text, or a number."""
    if isinstance(value, str):
        return int(value) if _WHOLE_NUMBER.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _tokens(value: object) -> int | None:
    """A token count; gateways may turn a whole number into a float."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS:
        return value
    return None
