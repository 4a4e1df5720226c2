"""OTLP/JSON as senders write it, which is not all alike, and as nobody should."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.parse.otlp.json import read_json
from kvwatch.parse.otlp.spans import AttributeKeys, Export
from tests.parse.otlp.exports import as_json, export, span

KEYS = AttributeKeys("service.name", "enduser.id", "gen_ai.request.model")
NO_KEYS = AttributeKeys()


def document(*spans: object) -> bytes:
    """An export with these spans, as they are."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def plain(**changes: object) -> dict[str, object]:
    """A good span as JSON."""
    (found,) = json.loads(as_json(export(span(1))))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return {**found, **changes}


def read(body: bytes) -> Export:
    """Without configured attributes."""
    return read_json(body, NO_KEYS)


@pytest.mark.parametrize("tokens", ["12", 12])
@pytest.mark.parametrize("time", [lambda text: text, int], ids=["text", "number"])
def test_numbers_may_be_text(tokens: object, time: type[int]) -> None:
    """64-bit numbers are text by the specification, and plain numbers by habit."""
    made = plain()
    made["attributes"] = [
        {"key": "gen_ai.usage.prompt_tokens", "value": {"intValue": tokens}},
        {"key": "gen_ai.usage.completion_tokens", "value": {"intValue": tokens}},
    ]
    made |= {key: time(str(made[key])) for key in ("startTimeUnixNano", "endTimeUnixNano")}
    (found,) = read(document(made)).requests
    assert (found.record.prompt_tokens, found.record.completion_tokens) == (12, 12)
    assert (found.record.arrival, found.record.finish) == (1_700_000_000.25, 1_700_000_003.5)


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_ids_are_hexadecimal_in_either_case(change: object) -> None:
    """Not base64, as protobuf's own JSON would have it."""
    made = plain()
    (found,) = read(document({**made, "traceId": change(made["traceId"])})).requests  # type: ignore[operator]
    assert found.span[:16].hex() == made["traceId"]
    bad = read(document({**made, "traceId": "AAAAAAAAAAAAAAAAAAAAAQ=="}, {**made, "spanId": "00 00 00 00 00 01"}))
    assert dict(bad.invalid) == {"bad_id": 2}


def test_unknown_keys_and_nulls_are_skipped() -> None:
    """At every level, as the specification wants it."""
    made = plain(flags=257, links=[{"traceId": "x"}], status=None, events=None)
    text = json.dumps(
        {
            "more": 1,
            "resourceSpans": [{"resource": None, "x": {}, "scopeSpans": [{"scope": 7, "spans": [made]}, {}]}, {}],
        }
    )
    assert len(read(text.encode()).requests) == 1
    assert read(b'{"resourceSpans": null}').refused is None
    assert read(b'{"resourceSpans": [{"scopeSpans": null}, {"scopeSpans": [{"spans": null}]}]}').refused is None


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (7, "not_a_span"),
        ([], "not_a_span"),
        (plain(attributes={"a": 1}), "not_a_span"),
        (plain(startTimeUnixNano=[]), "not_a_span"),
        (plain(attributes=[{"key": k, "value": {"intValue": 2**70}} for k in
               ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens")]), "bad_tokens"),
        (plain(startTimeUnixNano="soon"), "bad_time"),
        (plain(startTimeUnixNano=1.5), "not_a_span"),
        (plain(startTimeUnixNano="-5"), "bad_time"),
        (plain(endTimeUnixNano="9" * 20), "bad_time"),
        (plain(endTimeUnixNano="9" * 5000), "bad_time"),
        (plain(startTimeUnixNano="\u0661\u0662"), "bad_time"),
        (plain(traceId=None), "bad_id"),
        (plain(attributes=None), "no_tokens"),
        (plain(attributes=[{}, {"key": "gen_ai.usage.prompt_tokens"}]), "no_tokens"),
        (plain(attributes=[{"key": k, "value": {"intValue": "9" * 400}} for k in
               ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens")]), "bad_tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "span",
)  # fmt: skip
def test_a_span_of_a_wrong_shape_costs_the_others_nothing(made: object, reason: str) -> None:
    """It is counted with its reason, and its neighbours are read."""
    found = read(document(plain(), made, plain(spanId="00000000000000ff")))
    assert (len(found.requests), dict(found.invalid), found.refused) == (2, {reason: 1}, None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\x0a\x02", "not_json"),
        (b"[" * 100_000, "not_otlp"),
        (b'{"a":' * 100_000, "not_json"),
        (b'{"resourceSpans": 1}', "not_otlp"),
        (b'{"resourceSpans": [1]}', "not_otlp"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', "not_otlp"),
        (b"[]", "not_otlp"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + b"0," * 1_000_000 + b"0]}]}]}", "too_many"),
        (b'{"resourceSpans": [' + b"{}      ," * 300_000 + b"{}]}", "too_many"),
    ],
)
def test_what_is_no_export_is_refused(body: bytes, reason: str) -> None:
    """Whole, with a reason."""
    refused = read(body).refused
    assert refused is not None
    assert refused.reason == reason


def test_a_tenant_can_always_be_exported() -> None:
    """Text that UTF-8 cannot say does not get through."""
    lone = document(plain(attributes=[{"key": "enduser.id", "value": {"stringValue": "\ud800"}}]))
    found = read_json(lone, KEYS)
    for request in found.requests:
        (request.record.tenant or "").encode()


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    """Whatever they are."""
    read_json(body, KEYS)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
SPAN_KEYS = ["name", "traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano", "attributes"]


@given(st.dictionaries(st.sampled_from(SPAN_KEYS), JSON, max_size=4), JSON)
def test_no_shape_raises(changes: dict[str, object], value: object) -> None:
    """Any JSON in place of any part of a span, an attribute's value among them."""
    made = plain()
    attributes = [{"key": "gen_ai.usage.prompt_tokens", "value": value}, {"key": "enduser.id", "value": value}]
    read_json(document({**made, **changes}, {**made, "attributes": attributes}), KEYS)
