"""Sends spans as vLLM does, with OpenTelemetry's own exporter: run by the Python of vLLM's environment, not by tests.

    python exporter.py PROTOCOL ENDPOINT COMPRESSION COUNT

Each of the COUNT spans is of a request with 100 + i prompt and 200 + i output tokens. Exits with 1 where the exporter
reports that spans could not be sent.
"""

from __future__ import annotations

import sys
import time

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

GRPC_COMPRESSION = {"gzip": grpc.Compression.Gzip, "none": grpc.Compression.NoCompression}


def main(protocol: str, endpoint: str, compression: str, count: int) -> int:
    """Send them; the number of failures."""
    exporter: SpanExporter
    if protocol == "grpc":
        exporter = GrpcExporter(endpoint=endpoint, insecure=True, compression=GRPC_COMPRESSION[compression])
    else:
        exporter = HttpExporter(endpoint=endpoint, compression=Compression(compression))
    results: list[SpanExportResult] = []

    class Watched(SpanExporter):
        """The exporter, with an eye on what it says."""

        def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
            """Send, and note the result."""
            results.append(exporter.export(spans))
            return results[-1]

        def shutdown(self) -> None:
            """Pass it on."""
            exporter.shutdown()

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Watched(), max_export_batch_size=64, schedule_delay_millis=200))
    tracer = provider.get_tracer("vllm.llm_engine")
    for index in range(count):
        now = time.time_ns()
        span = tracer.start_span("llm_request", start_time=now - 10**9)
        span.set_attribute("gen_ai.usage.prompt_tokens", 100 + index)
        span.set_attribute("gen_ai.usage.completion_tokens", 200 + index)
        span.end(now)
    provider.force_flush()
    provider.shutdown()
    return sum(result is not SpanExportResult.SUCCESS for result in results) + (not results)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
