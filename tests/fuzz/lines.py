"""Fuzzes log lines on their way to the core: every format, every wrapper. Nothing may raise, and memory may not grow.

    python -m tests.fuzz.lines --seconds 600

Two engines take turns: hypothesis makes logs that are nearly right and damages them; atheris (pip install
'kvwatch[fuzz]') mutates bytes towards code that has not run yet. Without atheris the first has all the time.
"""

from __future__ import annotations

import json
import math

from hypothesis import strategies as st

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineKey, EngineSample, RequestRecord, Scrape, Settings
from kvwatch.parse.logs import FORMATS, LINE_RESULTS, FieldMap, LocalTime, LogFormat, LogReader, Reading, spelled
from kvwatch.parse.logs.moments import LATEST
from kvwatch.parse.logs.requests import MAX_TOKENS
from kvwatch.parse.tenant import tenant_namer
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.fuzz.engines import Budget, command, drawn, guided

NOW = 1_795_315_070.0
LOCAL = LocalTime(NOW, lambda civil: 3600.0 * (civil % 7 - 3))
BATCH = 300
READERS_KEPT = 200
FRESH_EVERY = 20
"""A new reader costs as much as some hundred lines."""

PREFIX = "(APIServer pid=7) INFO 11-22 02:38:10 [loggers.py:199] "
STEP = (
    "Engine 000: Iteration(4914): 1 context requests, 177 context tokens, 1 generation requests, 1 generation tokens, "
    "iteration elapsed time: 12.18 ms, CPU KV cache usage: 3.1%"
)
MESSAGES = (
    STEP,
    "Added request cmpl-1-0-8120547a.",
    "Aborted request(s) a,b.",
    "Request a failed (engine dead).",
    "non-default args: {'max_num_seqs': 12, 'max_num_batched_tokens': 4096}",
    "Using max model len 4096",
    "Defaulting max_num_seqs to 1024 for OPENAI_API_SERVER usage context.",
)
FIELDS = (
    *("arrival", "finish", "prompt_tokens", "completion_tokens", "status", "tenant", "cached_tokens", "model_name"),
    *("startTime", "endTime", "metadata", "start_time", "duration", "response_code", "genai_tokens_input"),
    *("genai_tokens_output", "msec", "time_iso8601", "request_time", "a", "a.b", "b"),
)
OTEL_KEYS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "duration", "start_time", "status")
TIMES = ("2026-11-22T02:38:10.123Z", "2026-11-22 02:38:10,5", "1795315070", "2026-02-30T00:00:00Z", "-", "")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 5000),
    st.floats(NOW - 10, NOW + 10),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(TIMES),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.sampled_from(("a", "b", "user_api_key_hash")), st.integers(0, 9), max_size=2),
)


def otel(attributes: dict[str, object]) -> str:
    """A line of OTLP logs."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    pairs = [{"key": key, "value": {kinds.get(type(v), "arrayValue"): v}} for key, v in attributes.items()]
    record = {"timeUnixNano": str(int(NOW * 1e9)), "attributes": pairs}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})


PLAIN = st.one_of(
    st.builds(json.dumps, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=10)),
    st.builds(otel, st.dictionaries(st.sampled_from(OTEL_KEYS), VALUES, max_size=4)),
    st.sampled_from([PREFIX + message for message in MESSAGES]),
    st.builds(lambda message: json.dumps({"message": message, "created": NOW}), st.sampled_from(MESSAGES)),
)
WRAPPERS = st.sampled_from(
    [
        lambda line: line,
        lambda line: f"2026-11-22T02:38:10.123456789Z stdout F {line}",
        lambda line: f"2026-11-22T02:38:10.123456789Z stderr P {line[:20]}",
        lambda line: json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-22T02:38:10Z"}),
        lambda line: json.dumps({"log": line, "stream": "stderr", "time": "2026-11-22T02:38:10Z"}),
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Some lines, most often damaged somewhere."""
    lines = [draw(WRAPPERS)(draw(PLAIN)) for _ in range(draw(st.integers(0, 5)))]
    content = "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        at, width = draw(st.integers(0, len(content))), draw(st.integers(0, 8))
        content = content[:at] + draw(st.binary(max_size=8)) + content[at + width :]
    return content


def formats() -> list[LogFormat]:
    """Every format, with fields and filters where it has any."""
    fields = FieldMap(
        {
            "finish": spelled("a.b") + spelled("finish"),
            "prompt_tokens": spelled("metadata.a") + spelled("prompt_tokens"),
            "completion_tokens": spelled("completion_tokens"),
            "tenant": spelled("metadata.b"),
        },
        {("status",): frozenset({"200", "1"})},
    )
    named = [LogFormat(name, tenant=tenant_namer(hashed=True, key=b"k")) for name in FORMATS if name != "json"]
    return [*named, LogFormat("json", fields)]


class Target:
    """Readers that go on from one input to the next, and a core that takes what they find."""

    def __init__(self) -> None:
        self._metrics = SelfMetrics()
        self._intake = Intake(Fleet(CoreOptions()), self._metrics)
        self._intake.add("vllm", Settings(max_num_seqs=8))
        sample = EngineSample(EngineKey("m", "0"), running=1.0, waiting=0.0, finished=0.0)
        self._intake.observe("vllm", Scrape(NOW - 1.0, (sample,)))
        self._formats = formats()
        self._readers = [LogReader(log_format) for log_format in self._formats]
        self._taken = 0

    def take(self, content: bytes) -> None:
        """One chunk, by every format; raises where anything was wrong on the way."""
        self._taken += 1
        if self._taken % READERS_KEPT == 0:
            self._readers = [LogReader(log_format) for log_format in self._formats]
        for log_format, reader in zip(self._formats, self._readers, strict=True):
            reading = reader.read(content, LOCAL)
            check(reading, content)
            if self._taken % FRESH_EVERY == 0:
                unfinished = LogReader(log_format).read(content, LOCAL).unfinished_bytes
                assert 0 <= unfinished <= len(content)
                LogReader(log_format).prime(content[len(content) - unfinished :])
            self._intake.logged("vllm", reading.facts, reading.results)
        faults = [value for _, value in self._metrics.samples()["kvwatch_internal_errors_total"] if value]
        assert not faults, "a fault of the core was caught"

    def view(self) -> None:
        """What the core makes of it all can still be said."""
        self._intake.view(NOW)
        self.take(b"")


def check(reading: Reading, content: bytes) -> None:
    """What holds of every reading."""
    assert set(reading.results) <= set(LINE_RESULTS)
    assert all(count > 0 for count in reading.results.values())
    for sample in reading.samples.values():
        assert len(sample.fields) <= 20
        assert all(len(name) <= 40 for name in sample.fields)
    for fact in reading.facts:
        if isinstance(fact, RequestRecord):
            assert 0 <= fact.arrival <= fact.finish < LATEST
            assert 0 <= fact.cached_tokens <= fact.prompt_tokens <= MAX_TOKENS
            assert 0 <= fact.completion_tokens <= MAX_TOKENS
            assert fact.tenant is None or 0 < len(fact.tenant) <= 128
        elif not isinstance(fact, Settings):
            assert math.isfinite(fact.at)


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""
    target = Target()

    def attempt(content: bytes) -> int:
        target.take(content)
        return 1

    chunks = st.one_of(logs(), st.binary(max_size=400))
    return drawn(seconds, chunks, attempt, "chunks", batch_size=BATCH, between=target.view)


def run_atheris(budget: Budget) -> None:
    """Coverage-guided, from one line of each kind."""
    target = Target()
    line = json.dumps(
        {"arrival": NOW, "finish": NOW, "prompt_tokens": 5, "completion_tokens": 5, "startTime": TIMES[0]}
    )
    seeds = [
        line,
        otel({OTEL_KEYS[0]: 5, OTEL_KEYS[1]: 6}),
        *(PREFIX + message for message in MESSAGES),
        f"2026-11-22T02:38:10.1Z stdout P {line[:9]}\n2026-11-22T02:38:10.1Z stdout F {line[9:]}",
        json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-22T02:38:10Z"}),
    ]
    guided(target.take, (f"{text}\n".encode() for text in seeds), ("kvwatch.parse.logs",), budget)


if __name__ == "__main__":
    command("tests.fuzz.lines", __doc__, run_hypothesis, run_atheris)
