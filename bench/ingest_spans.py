"""How many spans a second kvwatch takes on one core, beside bare protobuf and JSON decoding of the same bytes.

Run ``python -m bench.ingest_spans``. Spans are as vLLM 0.32 sends them, 512 an export. Times are CPU time, the best of
several rounds in turns, so that what else runs on the machine falls on all alike.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.otlp.json import read_json
from kvwatch.parse.otlp.protobuf import read_protobuf
from kvwatch.parse.otlp.spans import COMPLETION_TOKENS, PROMPT_TOKENS, REQUEST_SPAN, AttributeKeys
from kvwatch.shell.intake import Intake
from kvwatch.shell.otlp.ingest import Sender, TraceIntake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.parse.otlp.exports import as_json, export, span
from tests.shell.conftest import expositions

SPANS = 512
EXPORTS = 40
ROUNDS = 5
TENANT = AttributeKeys(tenant="gen_ai.request.id")
"""A tenant of its own for each request: the worst there is."""


def made(number: int) -> ExportTraceServiceRequest:
    """One export with all attributes that vLLM gives a request, ids and lengths of their own."""
    now = time.time_ns()
    spans = []
    for index in range(SPANS):
        seconds = {
            f"gen_ai.latency.{name}": 0.001 * (index + 1)
            for name in ("time_in_queue", "time_in_model_prefill", "time_in_model_decode", "time_in_model_inference")
        }
        attributes = {
            **seconds,
            PROMPT_TOKENS: 50 + (number * 31 + index * 7) % 2000,
            COMPLETION_TOKENS: 20 + (number * 17 + index * 11) % 600,
            "gen_ai.request.id": "cmpl-" + os.urandom(16).hex(),
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.top_p": 0.95,
            "gen_ai.request.n": 1,
        }
        ids = {"trace_id": os.urandom(16), "span_id": os.urandom(8)}
        times = {"start_time_unix_nano": now - (index + 1) * 10**6, "end_time_unix_nano": now - index}
        spans.append(span(index, attributes, **ids, **times))
    return export(*spans, resource={"service.name": "vllm", "vllm.process_id": 77})


def plain(body: bytes) -> list[tuple[object, ...]]:
    """The same fields read with OpenTelemetry's own classes, in the plainest loop, without any check."""
    found: list[tuple[object, ...]] = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for each in scope_spans.spans:
                if each.name != REQUEST_SPAN:
                    continue
                prompt = completion = None
                for pair in each.attributes:
                    if pair.key == PROMPT_TOKENS:
                        prompt = pair.value.int_value
                    elif pair.key == COMPLETION_TOKENS:
                        completion = pair.value.int_value
                times = each.start_time_unix_nano, each.end_time_unix_nano
                found.append((each.trace_id, each.span_id, *times, prompt, completion))
    return found


def through_the_core(bodies: list[bytes], keys: AttributeKeys) -> None:
    """Decoded, told apart from repeats, counted, and taken by the estimators of a server that is known."""
    metrics = SelfMetrics()
    intake = Intake(Fleet(CoreOptions()), metrics)
    intake.add("vllm", Settings(max_num_seqs=256, max_num_batched_tokens=8192))
    now = time.time()
    for index, text in enumerate(expositions(5)):
        intake.observe("vllm", ExpositionReader().read(text.encode(), now - 5 + index))
    traces = TraceIntake(intake, metrics, keys=keys, max_spans_per_second=1e9, clock=time.time)
    traces.targets.follow({"vllm": "vllm"})

    async def take() -> None:
        for body in bodies:
            await traces.take(body, Sender("127.0.0.1"))

    asyncio.run(take())
    traces.close()
    counted = dict(metrics.samples()["kvwatch_requests_ingested_total"])
    assert counted["vllm", "otlp"] == len(bodies) * SPANS, counted


def main() -> None:
    """Measure and print the table."""
    requests = [made(number) for number in range(EXPORTS)]
    bodies = [request.SerializeToString() for request in requests]
    texts = [as_json(request) for request in requests]
    none = AttributeKeys()
    works: dict[str, Callable[[], object]] = {
        "protobuf: decoding alone": lambda: [ExportTraceServiceRequest.FromString(body) for body in bodies],
        "protobuf: decoding, and the fields read plainly": lambda: [plain(body) for body in bodies],
        "protobuf: kvwatch's reader": lambda: [read_protobuf(body, none) for body in bodies],
        "protobuf: kvwatch's reader, with tenants": lambda: [read_protobuf(body, TENANT) for body in bodies],
        "protobuf: through the core": lambda: through_the_core(bodies, none),
        "protobuf: through the core, each its own tenant": lambda: through_the_core(bodies, TENANT),
        "JSON: msgspec alone": lambda: [msgspec.json.decode(text) for text in texts],
        "JSON: kvwatch's reader": lambda: [read_json(text, none) for text in texts],
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            started = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - started)
    table = Table("what", "µs a span", "spans/s on one core", "times decoding alone")
    for name, seconds in best.items():
        alone = best["protobuf: decoding alone" if name.startswith("protobuf") else "JSON: msgspec alone"]
        each = seconds / (SPANS * EXPORTS)
        table.add_row(name, f"{each * 1e6:.2f}", f"{1 / each:,.0f}", f"{seconds / alone:.1f}")
    console = Console(width=110)
    sizes = f"{len(bodies[0]) / SPANS:.0f} bytes a span in protobuf, {len(texts[0]) / SPANS:.0f} in JSON"
    console.print(f"{EXPORTS} exports of {SPANS} spans, {sizes}")
    console.print(table)


if __name__ == "__main__":
    main()
