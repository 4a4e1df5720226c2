"""The embedded scheduler does in every step what vLLM's own did."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from kvwatch.embedded.request import Request
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.settings import RequestShape, SchedulerSettings

TRACES = Path(__file__).parent / "data" / "scheduler-traces-vllm-0.32.0.json.gz"


def test_every_step_is_vllms_own() -> None:
    """Tokens, blocks held, who runs and who waits, in order, agree with vLLM's scheduler driven without a model.

    The traces are made by ``bench/scheduler_traces.py``: small engines short of memory, seats and budget, with and
    without prefix caching and watermark.
    """
    traces = json.loads(gzip.decompress(TRACES.read_bytes()))
    size = traces["block_size"]
    steps = preemptions = hits = 0
    for trial in traces["trials"]:
        settings = SchedulerSettings(
            num_blocks=trial["num_blocks"],
            block_size_tokens=size,
            max_num_seqs=trial["max_num_seqs"],
            max_num_batched_tokens=trial["max_num_batched_tokens"],
            enable_prefix_caching=trial["enable_prefix_caching"],
            watermark_ratio=trial["watermark_ratio"],
        )
        scheduler = Scheduler(settings)
        arriving: dict[int, list[Request]] = {}
        for identity, (prompt, output, shared, prefix_id, arrival) in enumerate(trial["requests"]):
            request = Request(RequestShape(prompt, output, shared, prefix_id), size, identity=identity)
            arriving.setdefault(arrival, []).append(request)
        for number, expected in enumerate(trial["steps"]):
            for request in arriving.get(number, []):
                scheduler.add(request)
            scheduler.step()
            assert [
                scheduler.decoding + scheduler.prefill_tokens,
                scheduler.resident_blocks,
                scheduler.used_blocks,
                [request.identity for request in scheduler.running],
                [request.identity for request in scheduler.waiting],
            ] == expected, (settings, number)
            steps += 1
            preemptions += len(scheduler.preempted)
            hits += sum(bool(request.first_cached_tokens) for request in scheduler.admitted)
    assert steps > 5000
    assert preemptions > 200
    assert hits > 200
