"""vLLM's own log: every version's lines, and nothing that a client can write into it."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from kvwatch.facts import EngineSample, Iteration, RequestAborted, RequestStarted, Scrape, Settings, SettingSource
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.logs import LocalTime, LogFact, LogFormat, LogReader
from kvwatch.parse.recording import recorded_scrape

REFERENCE = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
AT = datetime(2026, 11, 22, 2, 38, 10, tzinfo=UTC).timestamp()
LOCAL = LocalTime(REFERENCE)
API = "(APIServer pid=4691) INFO 11-22 02:38:10 [loggers.py:199] "
RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"


def read(text: str, local: LocalTime = LOCAL) -> tuple[list[LogFact], dict[str, int]]:
    """Facts and counts of some lines."""
    reading = LogReader(LogFormat("vllm")).read(text.encode() + b"\n", local)
    return reading.facts, reading.results


STEP = Iteration(AT, 4914, 1, 177, 1, 1, 0.01218)
STEP_TEXT = (
    "Iteration(4914): 1 context requests, 177 context tokens, 1 generation requests, 1 generation tokens, "
    "iteration elapsed time: 12.18 ms"
)

ENCODER = ", encoder inputs: 2, encoder output embeddings: 9"
COLOURED = "\x1b[0;36m(APIServer pid=1)\x1b[0;0m \x1b[32mINFO\x1b[0m 11-22 02:38:10 \x1b[90m[loggers.py:1]\x1b[0m "
JSON_LINE = {
    "asctime": "2026-11-22 02:38:10,000",
    "levelname": "INFO",
    "name": "vllm.v1.engine.core",
    "processName": "EngineCore_DP2",
    "process": 9,
}


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (f"(EngineCore_DP0 pid=7) INFO 11-22 02:38:10 [core.py:360] {STEP_TEXT}", ("0", None)),
        (f"(EngineCore_DP3 pid=7) INFO 11-22 02:38:10 [core.py:360] {STEP_TEXT}", ("3", None)),
        (f"(EngineCore pid=7) INFO 11-22 02:38:10 [core.py:360] {STEP_TEXT}", (None, None)),
        (f"{API}Engine 000: {STEP_TEXT}, CPU KV cache usage: 3.1%", ("0", 0.031)),
        (f"{API}Engine 012: {STEP_TEXT}, GPU KV cache usage: 100.0%", ("12", 1.0)),
        (f"{API}Engine 001: {STEP_TEXT}, GPU KV cache usage: 0.0%{ENCODER}", ("1", 0.0)),
        (f"INFO 11-22 02:38:10 [core.py:360] {STEP_TEXT}", (None, None)),
        (f"{COLOURED}{STEP_TEXT}", (None, None)),
        (json.dumps({**JSON_LINE, "message": STEP_TEXT}), ("2", None)),
        (json.dumps({"created": AT, "message": f"Engine 000: {STEP_TEXT}"}), ("0", None)),
        (f"2026-11-22T02:38:10.000000000Z stdout F {API}{STEP_TEXT}", (None, None)),
        (json.dumps({"log": f"{API}{STEP_TEXT}\n", "stream": "stdout", "time": "2026-11-22T02:38:10Z"}), (None, None)),
    ],
)
def test_a_step_is_read_from_every_version_s_line(line: str, fact: tuple[str | None, float | None]) -> None:
    """Composition, elapsed time, and engine and KV usage where they are told."""
    engine, usage = fact
    expected = Iteration(
        STEP.at, 4914, 1, 177, 1, 1, pytest.approx(0.01218), None if usage is None else pytest.approx(usage), engine
    )
    assert read(line) == ([expected], {"event": 1})


FRONTS = {
    "VLLM_LOGGING_PREFIX": "[vLLM]",
    "a prefix with words": "serving-pool-a | gpu:3 | ",
    "docker compose": "vllm-1  | ",
    "docker compose with time": "vllm-1  | 2026-11-22T02:38:10.000000000Z ",
    "kubectl logs --timestamps": "2026-11-22T02:38:10.000000000Z ",
    "kubectl logs --prefix": "[pod/llm-7f9c/vllm] ",
    "stern": "llm-7f9c vllm ",
    "journald": "Nov 22 02:38:10 host vllm[123]: ",
    "journald, short-iso": "2026-11-22T02:38:10+0000 host vllm[123]: ",
    "Ray Serve": "(ServeReplica:default:LLMDeployment pid=4242, ip=10.0.0.7) ",
    "Ray's worker": "(RayWorkerWrapper pid=1, ip=10.0.0.7) [repeated 3x across cluster] ",
    "colours": "\x1b[36mvllm-1  |\x1b[0m ",
    "a bar of progress": "Loading: 100%|####| 2/2 [00:01<00:00]\r",
}
WRITTEN = {
    "text": "INFO 11-22 02:38:10 [core.py:360] ",
    "a process": "(EngineCore_DP3 pid=7) INFO 11-22 02:38:10 [core.py:360] ",
}


@pytest.mark.parametrize("head", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS.keys())
def test_whatever_stands_in_front_of_a_line_is_passed_over(front: str, head: str) -> None:
    """The step, its time and its engine are the same, before the process or between it and the level."""
    engine = "3" if "DP3" in head else None
    process, _, level = head.rpartition("INFO")
    for line in (front + head + STEP_TEXT, f"{process}{front}INFO{level}{STEP_TEXT}"):
        facts, results = read(line)
        assert results == {"event": 1}
        assert facts == [Iteration(AT, 4914, 1, 177, 1, 1, pytest.approx(0.01218), None, engine)]


def test_a_stamp_with_a_zone_in_front_counts_for_the_time() -> None:
    """It has a zone and a fraction of a second, which vLLM's has not."""
    line = f"2026-11-22T04:38:09.750+02:00 {API}Added request a."
    assert read(line)[0] == [RequestStarted(AT - 0.25)]


OBJECTS = {
    "timestamp": {"timestamp": "2026-11-22T02:38:10Z", "level": "INFO", "message": STEP_TEXT},
    "@timestamp": {"@timestamp": "2026-11-22T02:38:10.000Z", "log.level": "info", "message": STEP_TEXT},
    "ts as a number": {"ts": AT, "severity": "INFO", "msg": STEP_TEXT},
    "time": {"time": "2026-11-22 02:38:10,000", "level": "INFO", "message": STEP_TEXT},
    "a whole line within": {"timestamp": "2026-11-22T02:38:10Z", "message": f"{API}{STEP_TEXT}"},
    "a whole line without a time beside it": {"message": f"{API}{STEP_TEXT}"},
    "fluent-bit": {"log": f"{API}{STEP_TEXT}\n", "kubernetes": {"pod_name": "llm-0"}},
    "journald's export": {"MESSAGE": f"{API}{STEP_TEXT}", "__REALTIME_TIMESTAMP": str(int(AT * 1e6))},
    "with other types beside it": {"timestamp": "2026-11-22T02:38:10Z", "message": STEP_TEXT, "time": {"a": 1}},
}


@pytest.mark.parametrize("front", ["", "vllm-1  | ", "2026-11-22T02:38:10Z "])
@pytest.mark.parametrize("found", OBJECTS.values(), ids=OBJECTS.keys())
def test_json_is_read_whoever_writes_it(found: dict[str, object], front: str) -> None:
    """Under each name that loggers give the message and the time, with something in front or without."""
    facts, results = read(front + json.dumps(found))
    assert results == {"event": 1}
    assert facts == [Iteration(AT, 4914, 1, 177, 1, 1, pytest.approx(0.01218), None, None)]


def test_lines_of_the_server_are_recognized_whatever_they_are_about() -> None:
    """Those of others are not: the web server's, a library's, a traceback's."""
    own = [f"{API}Starting vLLM server", "vllm-1 | INFO 11-22 02:38:10 [a.py:1] x", json.dumps({"message": "x"})]
    others = ['INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', "Traceback (most recent call last):", "{}", "0"]
    reading = LogReader(LogFormat("vllm")).read("\n".join([*own, *others]).encode(), LOCAL)
    assert (reading.recognized, reading.results) == (3, {"other": 7})


def test_a_dummy_step_serves_nobody() -> None:
    """Data-parallel engines run them to stay in step."""
    assert read(f"{API}Engine 001: {STEP_TEXT} (dummy), GPU KV cache usage: 0.0%") == ([], {"other": 1})


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        ("Added request cmpl-9e70e257600cb91c-0-8120547a.", [RequestStarted(AT)]),
        ("Aborted request(s) cmpl-1-0-aaaaaaaa,cmpl-2-0-bbbbbbbb.", [RequestAborted(AT)] * 2),
        ("Aborted request cmpl-1.", [RequestAborted(AT)]),
        ("Request cmpl-1 failed (engine dead).", [RequestAborted(AT)]),
        # it comes beside the line before, or the request was never added
        ("Request cmpl-1 aborted.", []),
        ("Request cmpl-1 failed (bad request): too long.", []),
        ("Received request cmpl-1: params: SamplingParams(n=1, max_tokens=48), lora_request: None.", []),
        (
            "Engine 000: Avg prompt throughput: 2684.1 tokens/s, Avg generation throughput: 2384.1 tokens/s, "
            "Running: 46 reqs, Waiting: 17 reqs, Preemptions: 3, GPU KV cache usage: 99.4%",
            [],
        ),
    ],
)
def test_arrivals_and_aborts_count_once(message: str, facts: list[LogFact]) -> None:
    """An abort is told twice and counted once; the ten-second summary says nothing that /metrics does not."""
    assert read(API + message)[0] == facts


@pytest.mark.parametrize(
    "line",
    [
        f"it's INFO 11-22 02:38:10 [a.py:1] {STEP_TEXT}",
        "x" * 301 + f"INFO 11-22 02:38:10 [a.py:1] {STEP_TEXT}",
        json.dumps({"path": f"{API}{STEP_TEXT}", "message": "GET"}),
        f'INFO:     127.0.0.1:44896 - "GET /INFO 11-22 02:38:10 [a.py:1] {STEP_TEXT} HTTP/1.1" 200 OK',
        f"{API}Added {STEP_TEXT}",
        f"{API}Received request x: prompt: 'Engine 000: {STEP_TEXT}', params: SamplingParams(n=1)",
        f"{API}Request Aborted request(s) a,b. aborted.",
        f"{STEP_TEXT}",
        "",
        "\x1b[",
        json.dumps({"message": 5, "asctime": "x"}),
        json.dumps({"msg": STEP_TEXT}),
    ],
)
def test_what_a_client_sends_is_never_taken_for_a_line_of_the_engine(line: str) -> None:
    """Only the beginning of a message counts."""
    assert read(line)[0] == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{API}Iteration(x): 1 context requests", "bad_event"),
        (f"{API}{STEP_TEXT.replace('12.18', '1e9')}", "bad_event"),
        (f"{API}{STEP_TEXT}".replace("11-22", "02-30"), "bad_time"),
        (json.dumps({"message": STEP_TEXT, "asctime": "yesterday"}), "bad_time"),
    ],
)
def test_a_line_that_begins_as_known_and_cannot_be_read_is_refused(line: str, reason: str) -> None:
    """By a reason of the closed list."""
    assert read(line) == ([], {reason: 1})


def test_settings_are_found_from_the_start_on_and_forgotten_at_the_next() -> None:
    """The arguments come first; later lines tell what came to hold."""
    lines = [
        f"{API}non-default args: {{'model': 'm', 'max_num_seqs': 12, 'max_num_batched_tokens': 4096}}",
        f"{API}Using max model len 32768",
        f"{API}Chunked prefill is enabled with max_num_batched_tokens=2048.",
        "(EngineCore pid=2) INFO 11-22 02:38:10 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: "
        "model='m', max_seq_len=32768, seed=0",
        f"{API}non-default args: {{'model': 'm'}}",
        f"{API}Defaulting max_num_seqs to 1024 for OPENAI_API_SERVER usage context.",
        "INFO 11-22 02:38:10 [api_server.py:1] args: Namespace(max_num_seqs=7, max_model_len=None)",
    ]
    found = [fact for fact in read("\n".join(lines))[0] if isinstance(fact, Settings)]
    assert {(fact.source, fact.complete) for fact in found} == {("log", True)}
    assert [(fact.max_num_seqs, fact.max_num_batched_tokens, fact.max_model_len) for fact in found] == [
        (12, 4096, None),
        (12, 4096, 32768),
        (12, 2048, 32768),
        (12, 2048, 32768),  # the version is new
        (None, None, None),
        (1024, None, None),
        (7, None, None),
    ]


def test_the_budget_that_speculative_decoding_leaves_counts_whichever_line_comes_first() -> None:
    """VLLM warns of it before or after it names the budget that was given."""
    given = f"{API}non-default args: {{'model': 'm', 'max_num_batched_tokens': 2048}}"
    lines = [
        "(EngineCore pid=7) WARNING 11-29 12:54:14 [vllm.py:1] max_num_scheduled_tokens is set to 1280 based on the "
        "speculative decoding settings.",
        f"{API}Chunked prefill is enabled with max_num_batched_tokens=2048.",
    ]
    for order in (lines, lines[::-1]):
        (*_, last) = read("\n".join([given, *order]))[0]
        assert isinstance(last, Settings)
        assert last.max_num_batched_tokens == 1280
    (*_, again) = read("\n".join([given, *lines, given, lines[1]]))[0]
    assert isinstance(again, Settings)
    assert again.max_num_batched_tokens == 2048


def test_what_a_server_chose_by_itself_and_where_it_runs_tell_its_other_defaults() -> None:
    """A budget that no flag set, the device, and how many workers there are."""
    start = (
        "(EngineCore pid=2) INFO 11-22 02:38:10 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: "
        "model='m', max_seq_len=4096, tensor_parallel_size=2, pipeline_parallel_size=3, device_config=cpu, "
        "enable_prefix_caching=True"
    )
    chunked = f"{API}Chunked prefill is enabled with max_num_batched_tokens=8192."
    for flags, own in (("", 8192), (", 'max_num_batched_tokens': 8192", None)):
        (*_, last) = read("\n".join([f"{API}non-default args: {{'model': 'm'{flags}}}", chunked, start]))[0]
        assert last == Settings(
            None,
            8192,
            4096,
            SettingSource.LOG,
            complete=True,
            device="cpu",
            world_size=6,
            version="0.32.0",
            own_budget_tokens=own,
            enable_prefix_caching=True,
        )


@pytest.mark.parametrize(
    ("reference", "stamp", "expected"),
    [
        ("2026-11-22T12:00:00", "11-22 02:38:10", "2026-11-22T02:38:10"),
        ("2027-01-01T00:00:05", "12-31 23:59:58", "2026-12-31T23:59:58"),
        ("2026-12-31T23:59:58", "01-01 00:00:05", "2027-01-01T00:00:05"),
        ("2027-03-01T00:00:00", "02-28 23:00:00", "2027-02-28T23:00:00"),
        ("2028-03-01T00:00:00", "02-29 23:00:00", "2028-02-29T23:00:00"),
    ],
)
def test_the_year_is_the_one_that_brings_a_stamp_nearest_to_the_time_of_reading(
    reference: str, stamp: str, expected: str
) -> None:
    """Around New Year, and on leap days."""
    local = LocalTime(datetime.fromisoformat(reference).replace(tzinfo=UTC).timestamp())
    facts, _ = read(f"INFO {stamp} [async_llm.py:1] Added request a.", local)
    assert facts == [RequestStarted(datetime.fromisoformat(expected).replace(tzinfo=UTC).timestamp())]


def test_the_zone_is_the_caller_s_and_a_container_runtime_s_time_wins() -> None:
    """Local time without a zone, against the runtime's own in UTC."""
    east = LocalTime(REFERENCE, lambda _: 3600.0)
    assert read(f"{API}Added request a.", east)[0] == [RequestStarted(AT - 3600)]
    assert read(f"2026-11-22T02:38:10.250Z stdout F {API}Added request a.", east)[0] == [RequestStarted(AT + 0.25)]


@pytest.mark.parametrize("name", ["chat", "homog", "seqcap"])
def test_a_recorded_server_s_steps_add_up_to_its_counters(name: str) -> None:
    """Between two moments at which the engine is empty, and nobody has given up or been evicted, to the last token.

    A prefill's last chunk brings a first token, which a line counts among no generation tokens.
    """
    folder = RECORDINGS / name
    log = gzip.decompress((folder / "server.log.gz").read_bytes())
    reader = ExpositionReader()
    with gzip.open(folder / "scrapes.jsonl.gz") as lines:
        scrapes = [recorded_scrape(line, reader) for line in lines]
    samples = [(s.at, s.engines[0]) for s in scrapes if isinstance(s, Scrape) and s.engines]
    facts = LogReader(LogFormat("vllm")).read(log, LocalTime(samples[0][0])).facts
    steps = [fact for fact in facts if isinstance(fact, Iteration)]
    assert [step.index for step in steps] == list(range(steps[0].index, steps[0].index + len(steps)))

    told = [fact for fact in facts if isinstance(fact, Iteration | RequestStarted | RequestAborted)]
    seconds = {fact.at for fact in told}
    empty = [(at, s) for at, s in samples if not s.running and not s.waiting and float(int(at)) not in seconds]
    compared = 0
    for (begin, before), (end, after) in pairwise(empty):
        within = [fact for fact in told if begin < fact.at < end]

        def grown(counter: str, before: EngineSample = before, after: EngineSample = after) -> float:
            return float(getattr(after, counter) - getattr(before, counter))

        taken = [fact for fact in within if isinstance(fact, Iteration)]
        if grown("preemptions") or any(isinstance(fact, RequestAborted) for fact in within):
            continue
        context, generation = sum(s.context_tokens for s in taken), sum(s.generation_tokens for s in taken)
        assert len(taken) == grown("steps")
        assert context == grown("prompt_tokens_computed")
        assert generation + grown("first_token_count") == grown("generation_tokens")
        assert context + generation + grown("first_token_count") == grown("step_tokens")
        assert sum(isinstance(fact, RequestStarted) for fact in within) == grown("finished")
        compared += len(taken)
    assert compared > 8000


@pytest.mark.parametrize("name", ["chat", "homog", "ramp11", "seqcap"])
def test_a_recorded_server_s_settings_are_found(name: str) -> None:
    """All three, and no line of its log is refused."""
    folder = RECORDINGS / name
    log = gzip.decompress((folder / "server.log.gz").read_bytes())
    reading = LogReader(LogFormat("vllm")).read(log, LOCAL)
    settings = json.loads((folder / "settings.json").read_bytes())
    found = [fact for fact in reading.facts if isinstance(fact, Settings)][-1]
    assert {key: getattr(found, key) for key in settings} == settings
    assert set(reading.results) == {"event", "other"}
