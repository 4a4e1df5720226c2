"""Drives vLLM's own scheduler, without a model, through random small workloads, and writes what it did in each step.

The traces are what the embedded scheduler is held against. Run it in an environment that has vLLM:

    python bench/scheduler_traces.py MODEL_FOLDER OUT.json.gz [TRIALS]

MODEL_FOLDER needs only a model's configuration and tokenizer.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import vllm
from vllm.engine.arg_utils import EngineArgs
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

BLOCK_SIZE = 32
LAST_ARRIVAL_STEP = 150


class Tokens:
    """Token ids that never repeat, so that only what shall be shared is shared."""

    def __init__(self) -> None:
        self._next = 5000

    def fresh(self, count: int) -> list[int]:
        """Return ``count`` new ids."""
        self._next += count
        return list(range(self._next - count, self._next))


def random_trial(source: random.Random) -> dict[str, Any]:
    """Settings and requests; a request is [prompt, output, shared prefix, prefix id, arrival step]."""
    seats = source.randint(2, 24)
    requests = []
    for _ in range(source.randint(5, 60)):
        shared = source.choice([0, 0, 64, 100])
        arrival = source.choice([0, 0, source.randint(0, LAST_ARRIVAL_STEP)])
        lengths = (source.randint(1, 120) + shared, source.randint(1, 100))
        requests.append([*lengths, shared, source.randint(0, 1), arrival])
    return {
        "num_blocks": source.randint(12, 50),
        "max_num_seqs": seats,
        "max_num_batched_tokens": source.randint(max(seats, 48), 512),
        "enable_prefix_caching": source.random() < 0.6,
        "watermark_ratio": source.choice([0, 0, 0, 0.05]),
        "requests": requests,
    }


def scheduler_for(trial: dict[str, Any], model: str) -> Scheduler:
    """The real scheduler with a trial's settings."""
    config = EngineArgs(
        model=model,
        load_format="dummy",
        max_model_len=4096,
        block_size=BLOCK_SIZE,
        max_num_seqs=trial["max_num_seqs"],
        max_num_batched_tokens=trial["max_num_batched_tokens"],
        enable_prefix_caching=trial["enable_prefix_caching"],
        num_gpu_blocks_override=trial["num_blocks"],
        enforce_eager=True,
        async_scheduling=False,
    ).create_engine_config()
    config.scheduler_config.watermark = trial["watermark_ratio"]
    config.cache_config.num_gpu_blocks = trial["num_blocks"]
    spec = FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype=torch.float32)
    cache = KVCacheConfig(trial["num_blocks"], [], [KVCacheGroupSpec(["layer"], spec)])
    return Scheduler(config, cache, StructuredOutputManager(config), BLOCK_SIZE, log_stats=True)


def trace(trial: dict[str, Any], model: str) -> list[list[Any]]:
    """Steps until all is done: [tokens, blocks held during, blocks held after, running, waiting]."""
    scheduler, tokens, steps = scheduler_for(trial, model), Tokens(), []
    hasher = get_request_block_hasher(BLOCK_SIZE, sha256) if trial["enable_prefix_caching"] else None
    pool = scheduler.kv_cache_manager.block_pool
    usable = trial["num_blocks"] - 1
    while len(steps) <= LAST_ARRIVAL_STEP or scheduler.running or scheduler.waiting:
        for number, (prompt, longest, shared, prefix, arrival) in enumerate(trial["requests"]):
            if arrival == len(steps):
                ids = [1 + 200 * prefix + place for place in range(shared)] + tokens.fresh(prompt - shared)
                sampling = SamplingParams(max_tokens=longest, ignore_eos=True)
                scheduler.add_request(Request(str(number), ids, sampling, None, block_hasher=hasher))
        scheduled = scheduler.schedule()
        held = usable - pool.get_num_free_blocks()
        names = list(scheduled.num_scheduled_tokens)
        sampled = []
        for name in names:
            request = scheduler.requests[name]
            sampled.append(tokens.fresh(1) if request.num_computed_tokens >= request.num_tokens else [])
        places = {name: place for place, name in enumerate(names)}
        output = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index=places,
            sampled_token_ids=sampled,
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        )
        scheduler.update_from_output(scheduled, output)
        steps.append(
            [
                scheduled.total_num_scheduled_tokens,
                held,
                usable - pool.get_num_free_blocks(),
                [int(request.request_id) for request in scheduler.running],
                [int(request.request_id) for request in scheduler.waiting],
            ]
        )
    return steps


def main(model: str, out: Path, trials: int) -> None:
    """Write the traces."""
    init_none_hash(sha256)
    source = random.Random(1)
    made = []
    for _ in range(trials):
        trial = random_trial(source)
        made.append({**trial, "steps": trace(trial, model)})
    content = {"vllm": vllm.__version__, "block_size": BLOCK_SIZE, "trials": made}
    out.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 24)
