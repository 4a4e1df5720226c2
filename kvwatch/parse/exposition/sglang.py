"""Where each of our numbers is found in SGLang's metrics, as of 0.5.23.

The only place that spells SGLang's names. A scheduler shows its gauges with its ranks, the front end its counters
without: what both show is of one engine as long as there is one scheduler. With data parallelism (``dp_rank``) there
are several, of which the front end does not tell, and such a server is refused.

A pass is of prefill or of decode. A step, in which each running request makes a token, is a pass of decode with the
prefill before it: ``cuda_graph_passes_total`` counts both, with a graph or without. Tokens are counted as they are made
in ``realtime_tokens_total``; the counters whose names are vLLM's rise only when a request finishes. Gauges are written
at each prefill and, by default, at every 40th decode.
"""

from __future__ import annotations

from kvwatch import facts
from kvwatch.parse.exposition.tables import Sample, Table, counter, gauge, ratio, seconds

_FIRST_TOKENS = "time_to_first_token_seconds_count"

SGLANG = Table(
    server=facts.SGLANG,
    stems=("sglang:", "sglang_"),
    model_labels=("model_name",),
    engine_labels=(),
    rows=(
        gauge("running", "num_running_reqs"),
        gauge("waiting", "num_queue_reqs"),
        # of the fullest pool, where layers have several
        ratio("kv_usage_ratio", "token_usage"),
        # requests that were aborted while they waited are not among them
        counter("finished", "num_requests_total"),
        counter(
            "prompt_tokens",
            Sample("realtime_tokens_total", "mode", ("prefill_compute", "prefill_cache")),
            "prompt_tokens_total",
        ),
        counter("prompt_tokens_computed", Sample("realtime_tokens_total", "mode", ("prefill_compute",))),
        counter(
            "generation_tokens",
            # the first token of each request comes from prefill
            Sample("realtime_tokens_total", "mode", ("decode",), plus=_FIRST_TOKENS),
            "generation_tokens_total",
        ),
        # retraction puts a running request back into the queue, as preemption does
        counter("preemptions", "num_retracted_requests_total"),
        counter("spec_decode_drafts", "spec_verify_calls_total"),
        counter("steps", Sample("cuda_graph_passes_total", "mode", ("decode_cuda_graph", "decode_none"))),
        seconds("inter_token_seconds_sum", "inter_token_latency_seconds_sum"),
        # latencies are counted by tokens: with speculation the steps of requests are the calls that verify drafts
        counter("inter_token_count", "spec_verify_calls_total", "inter_token_latency_seconds_count"),
        counter("first_token_count", _FIRST_TOKENS),
    ),
    histograms={
        "request_prompt_tokens": "prompt_tokens_histogram",
        "request_generation_tokens": "generation_tokens_histogram",
        "first_token_seconds": "time_to_first_token_seconds",
        "inter_token_seconds": "inter_token_latency_seconds",
    },
    cache_rows=(
        gauge("block_size_tokens", "page_size"),
        gauge("num_gpu_blocks", "num_pages"),
        gauge("kv_cache_size_tokens", "max_total_num_tokens"),
        gauge("window_tokens", "max_total_num_tokens_swa"),
    ),
    part_labels=frozenset({"is_streaming", "mode", "engine_type"}),
    rank_labels=("tp_rank", "pp_rank", "moe_ep_rank"),
    total_labels=("priority",),
)
