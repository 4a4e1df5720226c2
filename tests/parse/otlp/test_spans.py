"""A span of a request is read exactly, the same from protobuf and JSON; what is not quite one has a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from kvwatch.facts import RequestRecord
from kvwatch.parse.otlp.spans import (
    COMPLETION_TOKENS,
    MAX_ATTRIBUTES,
    MAX_SPAN_BYTES,
    PROMPT_TOKENS,
    REASONS,
    AttributeKeys,
)
from kvwatch.parse.tenant import tenant_namer
from tests.parse.otlp.exports import READERS, Read, export, pair, span

NO_KEYS = AttributeKeys()
KEYS = AttributeKeys(target="service.name", tenant="enduser.id", model="gen_ai.request.model")


@pytest.fixture(params=READERS)
def read(request: pytest.FixtureRequest) -> Read:
    """Either encoding."""
    return READERS[request.param]


def test_a_request_is_read_exactly(read: Read) -> None:
    """Lengths, times to the float's precision, and ids."""
    (found,) = read(export(span(7)), NO_KEYS).requests
    assert found.record == RequestRecord(1_700_000_000.25, 1_700_000_003.5, 12, 34, source="otlp")
    assert found.span == (2**100 + 7).to_bytes(16, "big") + (2**50 + 7).to_bytes(8, "big")
    assert found.target is None


def test_other_spans_are_ignored(read: Read) -> None:
    """Start-up spans of vLLM, and spans of anything else, are counted and no more."""
    found = read(
        export(span(1, name="Overall Loading"), span(2), span(3, name=""), span(4, name="LLM_REQUEST")), NO_KEYS
    )
    assert (len(found.requests), found.ignored, found.invalid.total()) == (1, 3, 0)


def test_an_export_without_spans_is_fine(read: Read) -> None:
    """Nothing in it, and nothing wrong with it."""
    found = read(export(), NO_KEYS)
    assert (found.requests, found.ignored, found.invalid.total(), found.refused) == ([], 0, 0, None)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("bad_id", {"trace_id": b""}),
        ("bad_id", {"trace_id": b"\1" * 15}),
        ("bad_id", {"trace_id": bytes(16)}),
        ("bad_id", {"span_id": b""}),
        ("bad_id", {"span_id": b"\1" * 9}),
        ("bad_id", {"span_id": bytes(8)}),
        ("bad_time", {"start_time_unix_nano": 0}),
        ("bad_time", {"end_time_unix_nano": 0}),
        ("bad_time", {"start_time_unix_nano": 2**63, "end_time_unix_nano": 2**63 - 1}),
    ],
)
def test_ids_and_times_must_be_there(read: Read, reason: str, fields: Mapping[str, object]) -> None:
    """A span that could not be told from another, or has no time, is refused alone."""
    found = read(export(span(1, **fields), span(2)), NO_KEYS)
    assert (len(found.requests), dict(found.invalid)) == (1, {reason: 1})


def test_a_request_may_take_no_time_and_end_at_the_end_of_time(read: Read) -> None:
    """The borders of the format are read; what to do with such a time is for whoever has a clock."""
    last = 2**64 - 1
    (found,) = read(export(span(1, start_time_unix_nano=last, end_time_unix_nano=last)), NO_KEYS).requests
    assert found.record.arrival == found.record.finish == last / 10**9


@pytest.mark.parametrize("key", [PROMPT_TOKENS, COMPLETION_TOKENS])
@pytest.mark.parametrize(
    "value",
    [-1, 2**31, 2**63 - 1, -(2**63), 1.5, -1.0, 1e300, math.nan, math.inf, -math.inf, True, "12", "", b"12", [12]],
    ids=repr,
)
def test_a_length_must_be_a_count_of_tokens(read: Read, key: str, value: object) -> None:
    """Anything but a whole number from 0 to 2³¹ − 1 is refused, and the other spans of the export are not."""
    found = read(export(span(1, {key: value}), span(2)), NO_KEYS)
    assert (len(found.requests), dict(found.invalid)) == (1, {"bad_tokens": 1})


@pytest.mark.parametrize(("value", "tokens"), [(0, 0), (2**31 - 1, 2**31 - 1), (12.0, 12), (-0.0, 0)])
def test_whole_numbers_count(read: Read, value: object, tokens: int) -> None:
    """Gateways may turn integers into floats."""
    (found,) = read(export(span(1, {PROMPT_TOKENS: value})), NO_KEYS).requests
    assert found.record.prompt_tokens == tokens


@pytest.mark.parametrize("key", [PROMPT_TOKENS, COMPLETION_TOKENS])
def test_a_missing_length_is_missing(read: Read, key: str) -> None:
    """Without the attribute, with one that holds no value, and where only the resource has it."""
    spans = (span(1, without=[key]), span(2, {key: None}))
    assert dict(read(export(*spans, resource={key: 5}), NO_KEYS).invalid) == {"no_tokens": 2}


def test_the_resource_tells_target_tenant_and_model(read: Read) -> None:
    """And the span's own attributes win over it; the target is the resource's alone."""
    resource = {"service.name": "eu", "enduser.id": "anyone", "gen_ai.request.model": "small"}
    own = {"service.name": "us", "enduser.id": "me", "gen_ai.request.model": "large"}
    first, second = read(export(span(1), span(2, own), resource=resource), KEYS).requests
    assert (first.target, first.record.tenant, first.record.model_name) == ("eu", "anyone", "small")
    assert (second.target, second.record.tenant, second.record.model_name) == ("eu", "me", "large")


def test_attributes_that_nobody_asked_for_say_nothing(read: Read) -> None:
    """Without the configuration they are not looked at."""
    (found,) = read(export(span(1, {"enduser.id": "me"}), resource={"service.name": "eu"}), NO_KEYS).requests
    assert (found.target, found.record.tenant, found.record.model_name) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "tenant"),
    [("me", "me"), (7, "7"), ("x" * 1000, "x" * 128), ("", None), (True, None), (1.5, None), ([1], None)],
)
def test_a_tenant_is_a_word_or_a_whole_number(read: Read, value: object, tenant: str | None) -> None:
    """Of bounded length, by the rules that hold for logs as well."""
    (found,) = read(export(span(1, {"enduser.id": value}), resource={"enduser.id": "other"}), KEYS).requests
    assert found.record.tenant == tenant


def test_tenants_are_hashed_where_that_is_asked_for(read: Read) -> None:
    """The name does not leave the parser."""
    keys = AttributeKeys(tenant="enduser.id", tenant_name=tenant_namer(hashed=True, key=b"k"))
    (found,) = read(export(span(1, {"enduser.id": "me"})), keys).requests
    assert found.record.tenant == tenant_namer(hashed=True, key=b"k")("me")


@pytest.mark.parametrize("name", ["", "m" * 257, 7, True])
def test_a_name_of_no_use_is_none(read: Read, name: object) -> None:
    """Target and model are text of bounded length."""
    (found,) = read(export(span(1, {"gen_ai.request.model": name}), resource={"service.name": name}), KEYS).requests
    assert (found.target, found.record.model_name) == (None, None)


def test_too_many_attributes_are_refused_unread(read: Read) -> None:
    """OpenTelemetry's own limit is 128."""
    many = {f"a{number}": number for number in range(MAX_ATTRIBUTES)}
    found = read(export(span(1, many), span(2)), NO_KEYS)
    assert (len(found.requests), dict(found.invalid)) == (1, {"too_large": 1})


def test_a_span_of_a_megabyte_is_left_out(read: Read) -> None:
    """Those before and after it are read."""
    found = read(export(span(1), span(2, {"prompt": "x" * 2**20}), span(3)), NO_KEYS)
    assert ([request.span[-1] for request in found.requests], dict(found.invalid)) == ([1, 3], {"too_large": 1})


def test_every_reason_has_words() -> None:
    """What a sender is told says what to look at."""
    assert all(len(words) > 15 for words in REASONS.values())


def test_an_export_costs_its_spans_or_its_size(read: Read) -> None:
    """Whichever is more: that is what a rate limit can be held to."""
    small = read(export(*(span(number, name="x", without=[PROMPT_TOKENS]) for number in range(50))), NO_KEYS)
    assert 50 <= small.cost < 60
    large = read(export(span(1, {"prompt": "x" * 200_000})), NO_KEYS)
    assert 195 <= large.cost < 210


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 5000),
    st.floats(),
    WORDS,
    st.lists(WORDS, max_size=2),
)
NAMES = st.sampled_from(
    [PROMPT_TOKENS, COMPLETION_TOKENS, "enduser.id", "gen_ai.request.model", "service.name", "other"]
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A span whose attributes are in any order, of any type, and may be missing."""
    made = span(
        draw(st.integers(0, 3)),
        name=draw(st.sampled_from(["llm_request", "llm_request", "other"])),
        start_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
        end_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
    )
    usual = {PROMPT_TOKENS: draw(st.integers(0, 4000)), COMPLETION_TOKENS: draw(st.integers(0, 4000))}
    attributes = {**usual, **draw(st.dictionaries(NAMES, VALUES, max_size=4))}
    del made.attributes[:]
    made.attributes.extend(pair(key, attributes[key]) for key in draw(st.permutations(sorted(attributes))))
    return made


@given(st.lists(spans(), max_size=5), st.dictionaries(NAMES, VALUES, max_size=3), st.sampled_from([NO_KEYS, KEYS]))
def test_both_encodings_say_the_same(many: list[Span], resource: Mapping[str, object], keys: AttributeKeys) -> None:
    """Whatever the attributes are and wherever they stand, protobuf and JSON come to the same requests and faults."""
    request = export(*many, resource=resource)
    first, second = (read(request, keys) for read in READERS.values())
    assert first.requests == second.requests
    assert (first.ignored, first.invalid, first.refused) == (second.ignored, second.invalid, second.refused)


@pytest.mark.parametrize(
    "resource",
    [{"service.name": "x" * (MAX_SPAN_BYTES + 1)}, {f"a{i}": i for i in range(MAX_ATTRIBUTES + 1)}],
    ids=["bytes", "attributes"],
)
def test_a_resource_is_no_larger_than_a_span_may_be(read: Read, resource: Mapping[str, object]) -> None:
    """An export with a larger one is refused as a whole; where nothing is looked for in resources, it is not read."""
    made = export(span(), resource=resource)
    refused = read(made, KEYS).refused
    assert refused is not None
    assert refused.reason == "too_many"
    assert len(read(made, NO_KEYS).requests) == 1
