#!/usr/bin/env python3
"""Writes what SGLang exposes: its own collector classes, told what its scheduler and its front end would tell them.

    VENV/bin/python scripts/sglang_exposition.py tests/data/scrapes

VENV holds the wheel of sglang 0.5.23 and what its metrics import (torch, transformers; no GPU). As in the server, the
scheduler and the front end are processes of their own that share prometheus_client's folder. What they are told is made
up; names, labels, buckets and what is shown before the first request are the wheel's own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VERSION = "0.5.23"
MODEL = "org/model-7b"
REQUESTS = ((100, 40, 0), (900, 120, 256), (350, 60, 0), (2000, 500, 1024))
"""Prompt, output and cached tokens of the requests that finish."""
WITH_BUCKETS = ("prompt_tokens_histogram", "generation_tokens_histogram", "time_to_first_token", "inter_token_latency")
"""Histograms whose buckets kvwatch reads; the others' are left out, which are nine tenths of a page."""
SPEC_STEPS = 2
"""Tokens that a request makes in a step where it speculates."""


def main() -> None:
    """One file for each kind of server."""
    folder = Path(sys.argv[1])
    kinds: dict[str, dict[str, Any]] = {
        "idle": {"busy": False},
        "busy": {},
        "priority": {"priorities": True, "tensor_parallel": 2},
        "speculative": {"speculative": True},
        "dp2": {"data_parallel": 2},
    }
    for kind, settings in kinds.items():
        with tempfile.TemporaryDirectory() as shared:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
            _collectors()  # once: what it imports takes most of a minute, and the processes below are forked
            text = _served(**settings)
        (folder / f"sglang-{VERSION}-{kind}.prom").write_text(_without_buckets(text))


def _without_buckets(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if "_bucket{" not in line or line.startswith(tuple(f"sglang:{n}" for n in WITH_BUCKETS))
    )


def _served(
    *,
    busy: bool = True,
    priorities: bool = False,
    speculative: bool = False,
    tensor_parallel: int = 1,
    data_parallel: int = 1,
) -> str:
    forked = multiprocessing.get_context("fork")
    processes = [
        forked.Process(target=_scheduler, args=(busy, priorities, speculative, tensor, data, data_parallel))
        for data in range(data_parallel)
        for tensor in range(tensor_parallel)
    ]
    processes.append(forked.Process(target=_front_end, args=(busy, priorities, speculative)))
    for process in processes:
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"a process ended with {process.exitcode}")
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess  # noqa: PLC0415

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry).decode()


def _collectors() -> Any:  # noqa: ANN401 - sglang is not installed where this is checked
    """The wheel's module, with the few settings that its classes ask the server's configuration for."""
    from sglang.srt.observability import metrics_collector  # noqa: PLC0415
    from sglang.version import __version__  # noqa: PLC0415

    if __version__ != VERSION:
        raise SystemExit(f"this is sglang {__version__}, not {VERSION}")
    settings = SimpleNamespace(
        prompt_tokens_buckets=None,
        generation_tokens_buckets=None,
        stat_loggers=None,
        prefill_delayer_max_delay_passes=30,
        prefill_delayer_forward_passes_buckets=None,
        prefill_delayer_wait_seconds_buckets=None,
    )
    metrics_collector.get_observability = lambda: settings
    metrics_collector.get_schedule = lambda: settings
    metrics_collector.exports_expert_balancedness_to_prometheus = lambda: False
    return metrics_collector


def _scheduler(  # noqa: PLR0913, PLR0917 - what a scheduler differs in
    busy: bool, priorities: bool, speculative: bool, tensor: int, data: int, data_parallel: int
) -> None:
    module = _collectors()
    labels: dict[str, Any] = {
        "model_name": MODEL,
        "engine_type": "unified",
        "tp_rank": tensor,
        "pp_rank": 0,
        "moe_ep_rank": 0,
    }
    if priorities:
        labels["priority"] = ""
    if data_parallel > 1:
        labels["dp_rank"] = data
    collector = module.SchedulerMetricsCollector(labels=labels, server_args=None)
    collector.emit_constants(
        max_total_num_tokens=32768,
        max_total_num_tokens_swa=None,
        weight_memory_usage_gb=15.2,
        kv_cache_memory_usage_gb=4.0,
        graph_memory_usage_gb={"decode": 0.5},
        max_running_requests_under_SLO=None,
        page_size=1,
        num_pages=32768,
        context_len=4096,
        startup_available_gpu_memory_gb=20.0,
    )
    stats = module.SchedulerStats()
    if busy:
        prompt = sum(request[0] for request in REQUESTS)
        cached = sum(request[2] for request in REQUESTS)
        decoded = sum(request[1] - 1 for request in REQUESTS)
        collector.increment_realtime_tokens(None, prefill_compute_tokens=prompt - cached, prefill_cache_tokens=cached)
        for _ in REQUESTS:
            collector.increment_prefill_cuda_graph_pass(value=False)
        steps = decoded // len(REQUESTS) // (SPEC_STEPS if speculative else 1)
        for _ in range(steps):
            collector.increment_decode_cuda_graph_pass(value=True)
        collector.increment_decode_cuda_graph_pass(value=False)
        collector.increment_realtime_tokens(None, decode_tokens=decoded)
        collector.increment_retracted_reqs(2, 700, 90)
        by_priority = {0: 2, 5: 1} if priorities else None
        stats.num_running_reqs = module.QueueCount(3, by_priority)
        stats.num_queue_reqs = module.QueueCount(1, {5: 1} if priorities else None)
        stats.token_usage = stats.full_token_usage = 0.25
    collector.log_stats(stats)


def _front_end(busy: bool, priorities: bool, speculative: bool) -> None:
    module = _collectors()
    labels = {"model_name": MODEL, "engine_type": "unified"}
    if priorities:
        labels["priority"] = ""
    collector = module.TokenizerMetricsCollector(labels=labels)
    for number, (prompt, output, cached) in enumerate(REQUESTS if busy else ()):
        own = {**labels, "priority": str(5 * (number % 2))} if priorities else labels
        streams = number % 2 == 0
        collector.observe_time_to_first_token(own, 0.15 * (number + 1), stream=streams)
        collector.observe_inter_token_latency(own, 0.025 * (output - 1), output - 1)
        collector.observe_one_finished_request(
            own,
            prompt,
            output,
            cached,
            0.15 + 0.025 * output,
            has_grammar=False,
            cached_tokens_details={"device": cached} if cached else None,
            spec_verify_ct=(output - 1) // SPEC_STEPS if speculative else 0,
            is_streaming=streams,
        )
    if busy:
        collector.observe_one_aborted_request(labels)


if __name__ == "__main__":
    main()
