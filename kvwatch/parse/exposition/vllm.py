"""Where each of our numbers is found in vLLM's metrics, for versions 0.8.5 to 0.32.

The only place that spells vLLM's names. Versions are those a name was seen in. To follow a rename, put the new name in
front and keep the old one.
"""

from __future__ import annotations

from kvwatch import facts
from kvwatch.parse.exposition.tables import Sample, Table, counter, gauge, ratio, seconds

PREFIX = "vllm:"

ROWS = (
    gauge("running", "num_requests_running"),
    # up to 0.16 without requests that were skipped over; from 0.20 on capacity and deferred together
    gauge("waiting", "num_requests_waiting"),
    gauge("waiting_capacity", Sample("num_requests_waiting_by_reason", "reason", ("capacity",))),  # 0.20
    gauge("waiting_deferred", Sample("num_requests_waiting_by_reason", "reason", ("deferred",))),  # 0.20
    ratio(
        "kv_usage_ratio",
        "kv_cache_usage_perc",  # 0.9.2
        "gpu_cache_usage_perc",  # up to 0.10.2, in 0.11 when asked for
    ),
    counter("finished", "request_success_total"),  # one series for each reason
    counter("prompt_tokens", "prompt_tokens_total"),
    counter(
        "prompt_tokens_computed", Sample("prompt_tokens_by_source_total", "source", ("local_compute",))
    ),  # seen in 0.16
    counter("generation_tokens", "generation_tokens_total"),
    counter("preemptions", "num_preemptions_total"),
    counter("prefix_cache_hits", "prefix_cache_hits_total"),  # 0.9.2, in tokens
    counter("spec_decode_drafts", "spec_decode_num_drafts_total"),
    # a histogram, for all that its name ends as a counter's does
    counter("steps", "iteration_tokens_total_count"),
    counter("step_tokens", "iteration_tokens_total_sum"),
    seconds(
        "inter_token_seconds_sum",
        "inter_token_latency_seconds_sum",  # 0.10.2
        "time_per_output_token_seconds_sum",  # up to 0.11, until 0.14 when asked for; the same observations
    ),
    counter("inter_token_count", "inter_token_latency_seconds_count", "time_per_output_token_seconds_count"),
    counter("first_token_count", "time_to_first_token_seconds_count"),
    seconds("prefill_seconds_sum", "request_prefill_time_seconds_sum"),
)

VLLM = Table(
    server=facts.VLLM,
    # Ray Serve and OpenTelemetry's collector may not have colons in names
    stems=(PREFIX, "vllm_"),
    model_labels=("model_name",),
    engine_labels=("engine",),  # V0 (up to 0.10) has none
    rows=ROWS,
    histograms={
        "request_prompt_tokens": "request_prompt_tokens",
        "request_generation_tokens": "request_generation_tokens",
        "first_token_seconds": "time_to_first_token_seconds",
        "inter_token_seconds": "inter_token_latency_seconds",  # 0.10.2
        "queue_seconds": "request_queue_time_seconds",
    },
    # 0.12
    awake=Sample("engine_sleep_state", "sleep_state", ("awake",)),
    # no model, and before 0.9.2 no engine either
    cache_config="cache_config_info",
    part_labels=frozenset(
        {
            "finished_reason",
            "reason",
            "source",
            "sleep_state",
            # 0.9.2 to 0.11 with several API servers: kv_cache_usage_perc has one series for each of them
            "pid",
        }
    ),
)
