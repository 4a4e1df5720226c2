"""Request logs in JSON lines: each preset reads what its program writes, and each refusal has its reason."""

from __future__ import annotations

import hashlib
import json

import pytest

from kvwatch.facts import RequestRecord
from kvwatch.parse.logs import LINE_RESULTS, FieldMap, LocalTime, LogFormat, LogReader, Reading, spelled
from kvwatch.parse.tenant import tenant_namer

ARRIVAL, FINISH = 1_795_315_070.25, 1_795_315_071.5
LOCAL = LocalTime(FINISH)
RECORD = RequestRecord(ARRIVAL, FINISH, 601, 24, source="log")
LITELLM = {
    "id": "chatcmpl-1",
    "call_type": "acompletion",
    "status": "success",
    "prompt_tokens": 601,
    "completion_tokens": 24,
    "startTime": ARRIVAL,
    "endTime": FINISH,
    "model": "hosted_vllm/tiny",
    "metadata": {"user_api_key_hash": "88dc", "user_api_key_alias": "team-a"},
    "messages": [{"role": "user", "content": "a secret"}],
}
ENVOY = {
    "start_time": "2026-11-22T02:37:50.250Z",
    "duration": 1250,
    "response_code": 200,
    "genai_tokens_input": 601,
    "genai_tokens_output": 24,
    "upstream_host": "10.0.0.5:8000",
}
AI_GATEWAY = {
    "start_time": "2026-11-22T03:37:50.250+01:00",
    "duration": 1250,
    "gen_ai.usage.input_tokens": 601,
    "gen_ai.usage.output_tokens": 24,
}
KVWATCH = {"arrival": ARRIVAL, "finish": FINISH, "prompt_tokens": 601, "completion_tokens": 24, "status": 200}
NGINX = {"request_time": "1.250", "status": "200", "prompt_tokens": "601", "completion_tokens": "24"}
OTEL_ATTRIBUTES = {"gen_ai.usage.input_tokens": "601", "gen_ai.usage.output_tokens": "24", "duration": "1250"}


def otel(attributes: dict[str, str], at: float = FINISH, **resource: str) -> dict[str, object]:
    """One log record as OTLP has it."""
    record = {
        "timeUnixNano": str(int(at * 1e9)),
        "attributes": [{"key": key, "value": {"intValue": value}} for key, value in attributes.items()],
        "body": {"stringValue": "a secret"},
    }
    around = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
    return {"resourceLogs": [{"resource": {"attributes": around}, "scopeLogs": [{"logRecords": [record]}]}]}


def read(name: str, *lines: object, **settings: object) -> Reading:
    """What some lines come to."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    fields = settings.pop("fields", FieldMap({}))
    assert isinstance(fields, FieldMap)
    namer = tenant_namer(**settings)  # type: ignore[arg-type]
    return LogReader(LogFormat(name, fields, namer)).read(text.encode("utf-8", "surrogatepass"), LOCAL)


def fields(**paths: str) -> FieldMap:
    """Paths as a user spells them."""
    return FieldMap({quantity: spelled(path) for quantity, path in paths.items()})


@pytest.mark.parametrize(
    ("name", "line", "tenant"),
    [
        ("kvwatch", KVWATCH, None),
        ("litellm", LITELLM, "88dc"),
        ("envoy", ENVOY, None),
        ("envoy", {**ENVOY, "duration": "1250", "genai_tokens_input": "601", "response_code": "200"}, None),
        ("envoy", AI_GATEWAY, None),
        ("nginx", {"msec": "1795315071.500", **NGINX}, None),
        ("nginx", {"time_iso8601": "2026-11-22T02:37:51.5+00:00", **NGINX, "request_time": 1.25}, None),
        ("otel", otel(OTEL_ATTRIBUTES), None),
    ],
)
def test_a_preset_reads_what_its_program_writes(name: str, line: object, tenant: str | None) -> None:
    """Numbers as numbers or as text, times in any of the forms; the line with its neighbours as alone."""
    expected = RequestRecord(ARRIVAL, FINISH, 601, 24, source="log", tenant=tenant)
    for lines in ([line], [line, line], [line, "{", line]):
        reading = read(name, *lines)
        assert reading.facts == [expected] * (len(lines) - lines.count("{"))
        assert reading.results.get("request") == len(reading.facts)


def test_json_s_fields_are_the_user_s_to_name() -> None:
    """A dot leads inwards, or is a part of a key; of several paths the first that is there counts."""
    paths = FieldMap(
        {
            "finish": spelled("t.end"),
            "duration_ms": spelled("took.ms"),
            "prompt_tokens": (("usage", "in"), ("n",)),
            "completion_tokens": spelled("usage.out"),
            "tenant": spelled("who"),
            "model": spelled("model"),
        }
    )
    end = int(FINISH * 1000)
    one = {"t": {"end": end}, "took.ms": 1250, "usage": {"in": 601, "out": 24}, "who": "a", "model": "m"}
    other = {"t": {"end": end * 1_000_000}, "took": {"ms": 1250}, "usage": {"out": 24}, "n": 601, "who": 7}
    assert read("json", one, other, fields=paths).facts == [
        RequestRecord(ARRIVAL, FINISH, 601, 24, source="log", tenant="a", model_name="m"),
        RequestRecord(ARRIVAL, FINISH, 601, 24, source="log", tenant="7"),
    ]


def test_a_user_s_field_wins_over_the_preset_s() -> None:
    """The others stay."""
    line = {**LITELLM, "metadata": {"team": {"id": "x"}}}
    reading = read("litellm", line, fields=fields(tenant="metadata.team.id"))
    assert [record.tenant for record in reading.facts if isinstance(record, RequestRecord)] == ["x"]


@pytest.mark.parametrize("name", ["envoy", "otel"])
def test_only_lines_with_the_wanted_values_count(name: str) -> None:
    """A gateway's log tells of all its servers."""
    only = FieldMap({}, {("upstream_host",): frozenset({"10.0.0.5:8000"})})
    lines: list[object] = [ENVOY, {**ENVOY, "upstream_host": "10.0.0.6:8000"}, {**ENVOY, "upstream_host": None}]
    if name == "otel":
        lines = [otel(OTEL_ATTRIBUTES, upstream_host=f"10.0.0.{n}:8000") for n in (5, 6)] + [otel(OTEL_ATTRIBUTES)]
    reading = read(name, *lines, fields=only)
    assert (len(reading.facts), reading.results) == (1, {"request": 1, "other": 2})


@pytest.mark.parametrize(
    ("change", "completed"),
    [
        ({"status": "failure"}, False),
        ({"status": 500}, False),
        ({"status": "503"}, False),
        ({"status": 0}, False),
        ({"status": "Success"}, True),
        ({"status": 204}, True),
        ({"status": None}, True),
        ({"status": ""}, True),
        ({"status": "failure", "completion_tokens": None, "prompt_tokens": ""}, False),
    ],
)
def test_a_request_that_failed_arrived_all_the_same(change: dict[str, object], completed: bool) -> None:
    """It counts without lengths too, as one that did not complete."""
    (record,) = read("litellm", {**LITELLM, **change}).facts
    assert isinstance(record, RequestRecord)
    assert record.completed is completed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt_tokens": None}, "no_tokens"),
        ({"prompt_tokens": "-"}, "no_tokens"),
        ({"prompt_tokens": -1}, "bad_tokens"),
        ({"prompt_tokens": 1.5}, "bad_tokens"),
        ({"prompt_tokens": "many"}, "bad_tokens"),
        ({"prompt_tokens": "9" * 30}, "bad_tokens"),
        ({"completion_tokens": 10**30}, "bad_tokens"),
        ({"completion_tokens": 1e300}, "bad_tokens"),
        ({"endTime": None}, "no_time"),
        ({"endTime": ARRIVAL - 1}, "bad_time"),
        ({"endTime": -5}, "bad_time"),
        ({"endTime": 10**40}, "bad_time"),
        ({"startTime": "2026-02-30T00:00:00Z"}, "bad_time"),
        ({"startTime": "2026-11-22T02:37:60.5Z"}, "bad_time"),
        ({"startTime": "now"}, "bad_time"),
        ({"prompt_tokens": [601]}, "wrong_type"),
        ({"status": True}, "wrong_type"),
        ({"metadata": "text"}, "wrong_type"),
    ],
)
def test_a_line_that_tells_no_request_is_refused_with_its_reason(change: dict[str, object], reason: str) -> None:
    """And told by length and names of its fields, never by what is in them."""
    line = {**LITELLM, **change}
    reading = read("litellm", LITELLM, line, line)
    assert reading.results == {"request": 1, reason: 2}
    assert reason in LINE_RESULTS
    sample = reading.samples[reason]
    assert (sample.line, sample.length_bytes, sample.fields) == (1, len(json.dumps(line)), tuple(line))
    assert "secret" not in repr(reading.samples)


ENVOY_TEXT = (
    '[2026-11-22T02:37:50.250Z] "POST /v1/chat/completions HTTP/1.1" 200 - via_upstream - "-" 312 1342 1250 '
    '"-" "curl/8.9.1" "10.0.0.5:8000"'
)
APISIX_TEXT = (
    '127.0.0.1 - - [12/Mar/2025:16:24:57 +0530] gw:9080 "POST /v1/chat/completions HTTP/1.1" 200 349 1.088 '
    '"-" "curl/8.9.1" - - - ai_token_usage={\\x22prompt_tokens\\x22:12}'
)
TEXTS = [
    ENVOY_TEXT,
    APISIX_TEXT,
    "200 OK",
    "null and void",
    "true story",
    '"quoted" and more',
    "- - -",
    "-1 x",
    "[1, 2] x",
]


@pytest.mark.parametrize("line", TEXTS)
@pytest.mark.parametrize("name", ["litellm", "envoy", "nginx", "otel", "json"])
def test_a_line_of_text_is_no_json(name: str, line: str) -> None:
    """Also one that begins as a number, a list or a literal does; what is JSON throughout has a wrong type."""
    assert read(name, line).results == {"not_json": 1}
    assert read(name, "127.0").results == {"wrong_type": 1}


FRONTS = [
    "envoy-1  | ",
    "2026-11-22T02:37:51.5Z ",
    "[pod/gateway-0/envoy] ",
    "Nov 22 02:37:51 host envoy[123]: ",
    "2026-11-22T02:37:51+0000 host envoy[123]: ",
]


@pytest.mark.parametrize("front", FRONTS)
def test_what_stands_in_front_of_an_object_is_passed_over(front: str) -> None:
    """By compose, kubectl and journald; the request is the same, alone and among others."""
    reading = read("envoy", front + json.dumps(ENVOY), front + json.dumps(ENVOY))
    assert reading.facts == [RECORD, RECORD]


NO_TOKENS = {name: value for name, value in ENVOY.items() if not name.startswith("genai")}


@pytest.mark.parametrize("status", [200, 0, 499, 503, "-", "", None])
@pytest.mark.parametrize("flags", ["DC", "DR", "UR,DC", "DC, UPE", "DownstreamConnectionTermination"])
def test_a_client_that_left_a_gateway_arrived_all_the_same(status: object, flags: str) -> None:
    """Whatever status the answer had begun with; its tokens count where the gateway knows them."""
    gone = {**NO_TOKENS, "response_code": status, "response_flags": flags}
    assert read("envoy", gone).facts == [RequestRecord(ARRIVAL, FINISH, 0, 0, completed=False, source="log")]
    counted = {**ENVOY, "response_code": status, "response_flags": flags}
    assert read("envoy", counted).facts == [RequestRecord(ARRIVAL, FINISH, 601, 24, completed=False, source="log")]


@pytest.mark.parametrize("flags", ["-", "", None, "UT", "UC"])
def test_other_flags_of_a_gateway_leave_the_status_its_say(flags: str | None) -> None:
    """A health check without tokens is refused as before, and one that served is served."""
    assert read("envoy", {**NO_TOKENS, "response_flags": flags}).results == {"no_tokens": 1}
    assert read("envoy", {**ENVOY, "response_flags": flags}).facts == [RECORD]


@pytest.mark.parametrize(("sent", "completed"), [("OK", True), ("", False)])
def test_nginx_says_whether_the_answer_was_sent_to_its_end(sent: str, *, completed: bool) -> None:
    """Of a stream that the client broke off, the status is that of its beginning."""
    line = {"msec": "1795315071.500", **NGINX, "request_completion": sent}
    assert read("nginx", line).facts == [RequestRecord(ARRIVAL, FINISH, 601, 24, completed=completed, source="log")]


@pytest.mark.parametrize("line", ["{", "nonsense", '{"a": "\udcff"}', "[" * 10_000, '{"a":' * 10_000, "NaN", "{}{}"])
@pytest.mark.parametrize("name", ["litellm", "envoy", "otel"])
def test_what_is_no_json_is_refused(name: str, line: str) -> None:
    """Deep nesting and two objects on a line too."""
    reading = read(name, line)
    assert reading.facts == []
    assert sum(reading.results.values()) == 1
    assert set(reading.results) <= {"not_json", "wrong_type", "no_time"}


def test_null_objects_and_missing_objects_are_missing_values() -> None:
    """A gateway writes them for requests without a key."""
    lines = [{**LITELLM, "metadata": None}, {key: value for key, value in LITELLM.items() if key != "metadata"}]
    assert read("litellm", *lines).facts == [RECORD, RECORD]


@pytest.mark.parametrize("value", [True, False, [], ["a"], [["a", {"b": 1}]], {"a": 1}, 1.5, None])
@pytest.mark.parametrize("alone", [True, False])
def test_a_tenant_that_is_neither_text_nor_a_whole_number_is_unknown(value: object, alone: bool) -> None:
    """The request counts all the same, and so do its neighbours."""
    chosen = fields(tenant="who")
    line = {**KVWATCH, "who": value}
    lines = [line] if alone else [{**KVWATCH, "who": 1}, line, {**KVWATCH, "who": "b", "cached_tokens": 7}]
    reading = read("kvwatch", *lines, fields=chosen)
    assert reading.results == {"request": len(lines)}
    names = [record.tenant for record in reading.facts if isinstance(record, RequestRecord)]
    assert names == ([None] if alone else ["1", None, "b"])


def test_a_tenant_s_path_may_lead_on_to_another_field() -> None:
    """What is within it is found, and a list in its place names nobody."""
    chosen = fields(tenant="who", model="who.model")
    lines = [{**KVWATCH, "who": who} for who in ({"model": "m"}, [1], "a")]
    reading = read("kvwatch", *lines, fields=chosen)
    found = [(fact.tenant, fact.model_name) for fact in reading.facts if isinstance(fact, RequestRecord)]
    assert found == [(None, "m"), (None, None), ("a", None)]


def test_an_attribute_that_names_no_tenant_costs_no_request() -> None:
    """OpenTelemetry's attributes may be truth values and lists as well."""
    line = otel(OTEL_ATTRIBUTES)
    attributes = line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"]  # type: ignore[index]
    attributes.append({"key": "who", "value": {"boolValue": True}})
    attributes.append({"key": "whom", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}})
    for name in ("who", "whom"):
        assert read("otel", line, fields=fields(tenant=name)).facts == [RECORD]


def test_tenants_are_hashed_with_a_key_or_without() -> None:
    """Keyed BLAKE2b, or the beginning of SHA-256; one tenant has one name, and two have two."""
    line = {**LITELLM, "metadata": {"user_api_key_hash": "team-a"}}
    (plain,) = read("litellm", line, hashed=True).facts
    (keyed,) = read("litellm", line, hashed=True, key=b"k").facts
    (again,) = read("litellm", line, hashed=True, key=b"k").facts
    assert isinstance(plain, RequestRecord)
    assert isinstance(keyed, RequestRecord)
    assert plain.tenant == hashlib.sha256(b"team-a").hexdigest()[:16]
    assert keyed.tenant == hashlib.blake2b(b"team-a", key=b"k", digest_size=8).hexdigest()
    assert again == keyed
    long = tenant_namer(hashed=True, key=b"x" * 100)
    assert long("a" * 500) != long("a" * 501)
    assert tenant_namer()("a" * 500) == "a" * 128
    assert [tenant_namer()(value) for value in ("", None, True, 1.5, 7)] == [None, None, None, None, "7"]


def test_an_unbounded_number_of_tenants_is_read_in_bounded_memory() -> None:
    """What is remembered of their names does not grow with them."""
    reader = LogReader(LogFormat("litellm", tenant=tenant_namer(hashed=True)))
    for start in range(0, 50_000, 1000):
        lines = [json.dumps({**LITELLM, "metadata": {"user_api_key_hash": str(n)}}) for n in range(start, start + 1000)]
        assert len(reader.read(("\n".join(lines) + "\n").encode(), LOCAL).facts) == 1000
    assert len(reader._requests._maker._tenants) <= 10_000  # type: ignore[union-attr]
