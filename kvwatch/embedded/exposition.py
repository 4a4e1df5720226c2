"""An engine's counters as the text that vLLM 0.32 serves on ``/metrics``.

Family order, help and type lines, labels and their order, edges and number format are those of the real server in its
classic text format. Families that say nothing about an emulated engine (the Python process, HTTP sizes) are left out,
except for the start time, which shows restarts, and the count of HTTP requests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kvwatch.embedded.exposition_text import CACHE_CONFIG, HELP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvwatch.embedded.engine import Engine
    from kvwatch.embedded.histogram import BucketCounts
    from kvwatch.embedded.settings import SchedulerSettings

_LONGEST_PLAIN_DIGITS = 6
"""Digits before the point beyond which a number is spelled with an exponent [digits]. Data sheet: prometheus_client,
utils.py, floatToGoString."""

Labels = tuple[tuple[str, str], ...]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(engine: Engine, *, model_name: str, engine_label: str = "0", unix_offset: float = 0.0) -> str:
    """Return the exposition of one engine.

    Args:
        engine: Whose counters to show.
        model_name: The served model's name.
        engine_label: The data-parallel rank as vLLM spells it.
        unix_offset: Unix time at the engine's virtual time zero, seconds.
    """
    counts = engine.counters
    started = engine.started + unix_offset
    page = _Page((("engine", engine_label), ("model_name", model_name)), started)
    page.lines += [
        "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {number(started)}",
    ]
    for quantity in ("flops", "read_bytes", "write_bytes"):
        page.counter(f"estimated_{quantity}_per_gpu", 0)
    page.gauge("num_requests_running", counts.running)
    page.gauge("num_requests_waiting", counts.waiting)
    page.gauge("num_requests_waiting_by_reason", ("reason", {"capacity": counts.waiting, "deferred": 0}))
    page.gauge("engine_sleep_state", ("sleep_state", {"awake": 1, "weights_offloaded": 0, "discard_all": 0}))
    page.gauge("kv_cache_usage_perc", counts.kv_usage_ratio)
    page.counter("prefix_cache_queries", counts.prefix_cache_queries)
    page.counter("prefix_cache_hits", counts.prefix_cache_hits)
    for name in ("external_prefix_cache_queries", "external_prefix_cache_hits", "mm_cache_queries", "mm_cache_hits"):
        page.counter(name, 0)
    page.counter("num_preemptions", counts.preemptions)
    page.counter("prompt_tokens", counts.prompt_tokens)
    cached = counts.prompt_tokens_cached
    page.counter(
        "prompt_tokens_by_source",
        (
            "source",
            {
                "local_compute": counts.prompt_tokens - cached,
                "local_cache_hit": cached,
                "external_kv_transfer": 0,
            },
        ),
    )
    page.counter("prompt_tokens_cached", cached)
    tiers = {"device": counts.prefix_cache_hits, "host": 0, "p2p": 0, "disk": 0, "external_unspecified": 0}
    page.counter("prompt_tokens_cached_by_source", ("source", tiers))
    page.counter("generation_tokens", counts.generation_tokens)
    reasons = {"stop": 0, "length": counts.finished, "abort": 0, "error": 0, "repetition": 0}
    page.counter("request_success", ("finished_reason", reasons))
    page.model_counter("admission_rejections", "reason", ("max_num_queued_reqs", "max_num_queued_tokens"), model_name)
    page.histogram("request_prompt_tokens", counts.request_prompt_tokens)
    page.histogram("request_generation_tokens", counts.request_generation_tokens)
    page.histogram("iteration_tokens_total", counts.iteration_tokens)
    page.histogram("request_max_num_generation_tokens", counts.request_max_num_generation_tokens)
    page.histogram("request_params_n", counts.request_params_n)
    page.histogram("request_params_max_tokens", counts.request_params_max_tokens)
    page.histogram("time_to_first_token_seconds", counts.time_to_first_token)
    page.histogram("inter_token_latency_seconds", counts.inter_token_latency)
    page.histogram("request_time_per_output_token_seconds", counts.request_time_per_output_token)
    page.histogram("e2e_request_latency_seconds", counts.e2e_request_latency)
    page.histogram("request_queue_time_seconds", counts.request_queue_time)
    page.histogram("request_inference_time_seconds", counts.request_inference_time)
    page.histogram("request_prefill_time_seconds", counts.request_prefill_time)
    page.histogram("request_decode_time_seconds", counts.request_decode_time)
    page.histogram("request_num_preemptions", counts.request_num_preemptions)
    page.histogram("request_prefill_kv_computed_tokens", counts.request_prefill_kv_computed_tokens)
    page.cache_config(engine.settings, engine_label)
    page.http_requests(counts.finished)
    return "\n".join(page.lines) + "\n"


class _Page:
    """Lines of the exposition, family by family."""

    def __init__(self, labels: Labels, created: float) -> None:
        self.lines: list[str] = []
        self._labels = labels
        self._common = _braces(labels)
        self._created = number(created)

    def head(self, name: str, kind: str, of: str) -> None:
        self.lines.append(f"# HELP {name} {HELP[of]}")
        self.lines.append(f"# TYPE {name} {kind}")

    def gauge(self, of: str, value: float | tuple[str, dict[str, int]]) -> None:
        self.head(f"vllm:{of}", "gauge", of)
        self._samples(f"vllm:{of}", value)

    def counter(self, of: str, value: float | tuple[str, dict[str, int]]) -> None:
        self.head(f"vllm:{of}_total", "counter", of)
        self._samples(f"vllm:{of}_total", value)
        self.head(f"vllm:{of}_created", "gauge", of)
        self._samples(f"vllm:{of}_created", value, stamp=self._created)

    def _samples(self, name: str, value: float | tuple[str, dict[str, int]], stamp: str = "") -> None:
        if isinstance(value, tuple):
            label, by_value = value
            for spelled, count in by_value.items():
                labels = _braces((*self._labels, (label, spelled)))
                self.lines.append(f"{name}{labels} {stamp or number(count)}")
        else:
            self.lines.append(f"{name}{self._common} {stamp or number(value)}")

    def model_counter(self, of: str, label: str, values: Sequence[str], model_name: str) -> None:
        for suffix, kind, shown in (("total", "counter", "0.0"), ("created", "gauge", self._created)):
            self.head(f"vllm:{of}_{suffix}", kind, of)
            for spelled in values:
                labels = _braces((("model_name", model_name), (label, spelled)))
                self.lines.append(f"vllm:{of}_{suffix}{labels} {shown}")

    def histogram(self, of: str, buckets: BucketCounts) -> None:
        name = f"vllm:{of}"
        self.head(name, "histogram", of)
        cumulative = buckets.cumulative()
        for edge, count in zip(buckets.edges, cumulative, strict=True):
            labels = _braces((*self._labels, ("le", number(edge))))
            self.lines.append(f"{name}_bucket{labels} {number(count)}")
        self.lines.append(f"{name}_count{self._common} {number(cumulative[-1])}")
        self.lines.append(f"{name}_sum{self._common} {number(buckets.total)}")
        self.head(f"{name}_created", "gauge", of)
        self.lines.append(f"{name}_created{self._common} {self._created}")

    def cache_config(self, settings: SchedulerSettings, engine_label: str) -> None:
        size = str(settings.block_size_tokens)
        tokens = settings.num_blocks * settings.block_size_tokens
        known = {
            "block_size": size,
            "effective_attention_block_size": size,
            "enable_prefix_caching": str(settings.enable_prefix_caching),
            "engine": engine_label,
            "kv_cache_max_concurrency": str(tokens / settings.max_model_len),
            "kv_cache_size_tokens": str(tokens),
            "num_gpu_blocks": str(settings.num_blocks),
            "num_gpu_blocks_override": str(settings.num_blocks),
        }
        self.head("vllm:cache_config_info", "gauge", "cache_config_info")
        labels = _braces(tuple((CACHE_CONFIG | known).items()))
        self.lines.append(f"vllm:cache_config_info{labels} 1.0")

    def http_requests(self, finished: int) -> None:
        if not finished:
            return  # the real server makes the series with the first response
        labels = _braces((("handler", "/v1/completions"), ("method", "POST"), ("status", "2xx")))
        for suffix, kind, shown in (("total", "counter", number(finished)), ("created", "gauge", self._created)):
            self.head(f"http_requests_{suffix}", kind, "http_requests")
            self.lines.append(f"http_requests_{suffix}{labels} {shown}")


def number(value: float) -> str:
    """Spell a sample's value as the Prometheus client library for Python does."""
    value = float(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    text = repr(value)
    point = text.find(".")
    if value <= 0 or point <= _LONGEST_PLAIN_DIGITS:
        return text
    digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
    return f"{digits}e+{point - 1:02d}"


def _braces(labels: Labels) -> str:
    """Spell labels in the order of their names, values escaped."""
    pairs = []
    for name, value in sorted(labels):
        escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        pairs.append(f'{name}="{escaped}"')
    return "{" + ",".join(pairs) + "}"
