"""How many log lines a second become facts on one core, beside bare msgspec decoding of the same bytes.

Run ``python -m bench.ingest_lines``. Bare decoding makes plain objects of whole lines with ``msgspec.json.Decoder()``,
which is what reading a log by a library alone would cost; it knows no fields, checks nothing and makes no facts. Times
are CPU time, the best of several rounds over the same chunks, as long as those that a tailed file is read in.
"""

from __future__ import annotations

import gzip
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineKey, EngineSample, RequestRecord, Scrape
from kvwatch.parse.logs import LocalTime, LogFormat, LogReader

RECORDING = Path(__file__).parent.parent / "tests" / "data" / "recordings" / "chat"
CHUNK_BYTES = 64 * 1024
ROUNDS = 9
LOCAL = LocalTime(1_795_315_070.0)


def main() -> None:
    """Measure and print the table."""
    lines = RECORDING.joinpath("requests.jsonl").read_bytes().splitlines()[:4000]
    requests = [orjson.loads(line) for line in lines]
    logs = {
        "kvwatch: a recording's requests.jsonl": ("kvwatch", lines),
        "litellm: a payload with its messages": ("litellm", [orjson.dumps(_litellm(r)) for r in requests]),
        "envoy: an access log, times as text": ("envoy", [orjson.dumps(_envoy(r)) for r in requests]),
        "otel: one record a line": ("otel", [orjson.dumps(_otel(r)) for r in requests]),
    }
    server_log = gzip.decompress(RECORDING.joinpath("server.log.gz").read_bytes()).splitlines()
    table = Table("log", "bytes a line", "lines/s", "µs a line", "bare msgspec, µs", "ratio")
    decode = msgspec.json.Decoder().decode
    for name, (log_format, written) in logs.items():
        chunks = _chunks(written)
        reader = LogReader(LogFormat(log_format))
        facts = [fact for chunk in chunks for fact in reader.read(chunk, LOCAL).facts]
        if len(facts) != len(written):
            raise RuntimeError(f"{name}: {len(facts)} facts of {len(written)} lines")

        def read(reader: LogReader = reader, chunks: list[bytes] = chunks) -> object:
            return [reader.read(chunk, LOCAL) for chunk in chunks]

        def bare(written: list[bytes] = written) -> object:
            return [decode(line) for line in written]

        # in turns, so that whatever else the machine does hits both
        rounds = [(_best(read, 1), _best(bare, 1)) for _ in range(4 * ROUNDS)]
        taken, decoding = (min(times) / len(written) for times in zip(*rounds, strict=True))
        _add(table, name, written, taken, decoding)
    reader = LogReader(LogFormat("vllm"))
    chunks = _chunks(server_log)
    taken = _best(lambda: [reader.read(chunk, LOCAL) for chunk in chunks]) / len(server_log)
    _add(table, "vllm: a server's own log, every step in it", server_log, taken, None)
    console = Console(width=120)
    console.print(table)
    console.print(f"the core takes a request in {_core_seconds() * 1e6:.1f} µs")


def _add(table: Table, name: str, lines: list[bytes], taken: float, bare: float | None) -> None:
    mean = sum(map(len, lines)) / len(lines)
    decoding = ("", "") if bare is None else (f"{bare * 1e6:.2f}", f"{taken / bare:.2f}")
    table.add_row(name, f"{mean:.0f}", f"{1 / taken:,.0f}", f"{taken * 1e6:.2f}", *decoding)


def _chunks(lines: list[bytes]) -> list[bytes]:
    chunks, chunk = [], bytearray()
    for line in lines:
        if len(chunk) + len(line) > CHUNK_BYTES:
            chunks.append(bytes(chunk))
            chunk.clear()
        chunk += line + b"\n"
    return [*chunks, bytes(chunk)]


def _best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=rounds))


def _core_seconds() -> float:
    """What the core takes for one request, with its engine known."""
    fleet = Fleet(CoreOptions())
    fleet.add("target")
    sample = EngineSample(EngineKey("m", "0"), running=1.0, waiting=0.0, finished=0.0)
    fleet.observe("target", Scrape(0.0, (sample,)))
    records = [RequestRecord(n / 100, 1 + n / 100, 300, 100 + n % 50, source="log") for n in range(2000)]
    return _best(lambda: [fleet.observe("target", record) for record in records]) / len(records)


def _litellm(request: dict[str, float]) -> dict[str, object]:
    text = "The quick brown fox jumps over the lazy dog. " * 20
    return {
        "id": "chatcmpl-0123456789abcdef",
        "call_type": "acompletion",
        "status": "success" if request["status"] == 200 else "failure",
        "total_tokens": request["prompt_tokens"] + request["completion_tokens"],
        "prompt_tokens": request["prompt_tokens"],
        "completion_tokens": request["completion_tokens"],
        "startTime": request["arrival"],
        "endTime": request["finish"],
        "model": "hosted_vllm/tiny",
        "api_base": "http://vllm:8000/v1",
        "metadata": {"user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"},
        "messages": [{"role": "user", "content": text}],
        "response": {"choices": [{"message": {"role": "assistant", "content": text}}]},
        "model_parameters": {"temperature": 0.7, "max_tokens": 400, "stream": True},
    }


def _envoy(request: dict[str, float]) -> dict[str, object]:
    second, millis = divmod(round(request["arrival"] * 1000), 1000)
    minute, second = divmod(second % 3600, 60)
    return {
        "start_time": f"2026-11-22T02:{minute:02}:{second:02}.{millis:03}Z",
        "method": "POST",
        "x-envoy-origin-path": "/v1/chat/completions",
        "response_code": 200,
        "duration": round(1000 * (request["finish"] - request["arrival"])),
        "bytes_received": 2159,
        "bytes_sent": 5334,
        "user-agent": "python-httpx/0.28",
        "x-request-id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "upstream_host": "10.0.0.17:8000",
        "upstream_cluster": "httproute/default/vllm/rule/0",
        "genai_model_name": "tiny",
        "genai_tokens_input": request["prompt_tokens"],
        "genai_tokens_output": request["completion_tokens"],
    }


def _otel(request: dict[str, float]) -> dict[str, object]:
    attributes = {
        "gen_ai.usage.input_tokens": {"intValue": str(request["prompt_tokens"])},
        "gen_ai.usage.output_tokens": {"intValue": str(request["completion_tokens"])},
        "gen_ai.request.model": {"stringValue": "tiny"},
        "duration": {"doubleValue": 1000 * (request["finish"] - request["arrival"])},
    }
    record = {
        "timeUnixNano": str(int(request["finish"] * 1e9)),
        "body": {"stringValue": "request"},
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


if __name__ == "__main__":
    main()
