"""Where each of our numbers is found in vLLM's metrics, for versions 0.8.5 to 0.32.

The only place that spells vLLM's names. A row names the samples that hold a field, the newest name first; the
first name of which the exposition has a number is taken. Names are those of the samples, so counters end in
``_total`` and parts of histograms in ``_bucket``, ``_sum`` or ``_count``, in the classic format and in OpenMetrics.

Versions are those a name was seen in. To follow a rename, put the new name in front and keep the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PREFIX = "vllm:"
RAY_PREFIXES = ("ray_vllm_", "vllm_")
"""Ray Serve may not have colons in names, and its agent puts its own prefix in front."""

MODEL_LABEL = "model_name"
ENGINE_LABEL = "engine"
DEFAULT_ENGINE = "0"
"""V0 (up to 0.10) has no engine label."""
REPLICA_LABELS = ("ReplicaId", "WorkerId")
"""Ray: one agent shows all replicas of a node, and each of them calls its engine "0"."""
PROCESS_LABEL = "pid"
"""0.9.2 to 0.11 with several API servers: kv_cache_usage_perc has one series for each of them."""

Kind = Literal["gauge", "ratio", "counter"]
"""How several series of one number combine: see :mod:`kvwatch.parse.exposition.engines`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One name for a field: the sample, and the label value it is for where a label tells fields apart."""

    name: str
    label: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One number of :class:`~kvwatch.facts.EngineSample` and its names, newest first."""

    field: str
    kind: Kind
    samples: tuple[Sample, ...]
    may_be_negative: bool = False


def _gauge(field: str, *samples: str | Sample) -> Row:
    return Row(field, "gauge", _samples(samples))


def _ratio(field: str, *samples: str | Sample) -> Row:
    return Row(field, "ratio", _samples(samples))


def _counter(field: str, *samples: str | Sample) -> Row:
    """A counter; Ray's agent has shown counters as gauges, without the suffix, so that name comes last."""
    spelled = _samples(samples)
    bare = tuple(Sample(_bare(s.name), s.label, s.value) for s in spelled if s.name.endswith("_total"))
    return Row(field, "counter", spelled + bare)


def _seconds(field: str, *samples: str) -> Row:
    """A sum of durations. vLLM may add a negative one for a request that it aborts before it was scheduled."""
    return Row(field, "counter", _samples(samples), may_be_negative=True)


def _bare(name: str) -> str:
    return name.removesuffix("_total")


def _samples(samples: tuple[str | Sample, ...]) -> tuple[Sample, ...]:
    return tuple(sample if isinstance(sample, Sample) else Sample(sample) for sample in samples)


ROWS: tuple[Row, ...] = (
    _gauge("running", "num_requests_running"),
    # up to 0.16 without requests that were skipped over; from 0.20 on capacity and deferred together
    _gauge("waiting", "num_requests_waiting"),
    _gauge("waiting_capacity", Sample("num_requests_waiting_by_reason", "reason", "capacity")),  # 0.20
    _gauge("waiting_deferred", Sample("num_requests_waiting_by_reason", "reason", "deferred")),  # 0.20
    _ratio(
        "kv_usage_ratio",
        "kv_cache_usage_perc",  # 0.9.2
        "gpu_cache_usage_perc",  # up to 0.10.2, in 0.11 when asked for
    ),
    _counter("finished", "request_success_total"),  # one series for each reason
    _counter("prompt_tokens", "prompt_tokens_total"),
    _counter(
        "prompt_tokens_computed", Sample("prompt_tokens_by_source_total", "source", "local_compute")
    ),  # seen in 0.16
    _counter("generation_tokens", "generation_tokens_total"),
    _counter("preemptions", "num_preemptions_total"),
    _counter("spec_decode_drafts", "spec_decode_num_drafts_total"),
    # a histogram, for all that its name ends as a counter's does
    _counter("steps", "iteration_tokens_total_count"),
    _counter("step_tokens", "iteration_tokens_total_sum"),
    _seconds(
        "inter_token_seconds_sum",
        "inter_token_latency_seconds_sum",  # 0.10.2
        "time_per_output_token_seconds_sum",  # up to 0.11, until 0.14 when asked for; the same observations
    ),
    _counter("inter_token_count", "inter_token_latency_seconds_count", "time_per_output_token_seconds_count"),
    _counter("first_token_count", "time_to_first_token_seconds_count"),
    _seconds("prefill_seconds_sum", "request_prefill_time_seconds_sum"),
)

HISTOGRAMS = {
    "request_prompt_tokens": "request_prompt_tokens",
    "request_generation_tokens": "request_generation_tokens",
    "first_token_seconds": "time_to_first_token_seconds",
    "inter_token_seconds": "inter_token_latency_seconds",  # 0.10.2
}
AWAKE = Sample("engine_sleep_state", "sleep_state", "awake")
"""0.12; 0 while the engine sleeps."""
CACHE_CONFIG = "cache_config_info"
"""A gauge of 1 whose labels are the KV cache's settings; no model, and before 0.9.2 no engine either."""
PROCESS_START = "process_start_time_seconds"
"""Absent where several API servers share one exposition. Not vLLM's own, so without its prefix."""


def _names() -> Iterator[str]:
    for row in ROWS:
        yield from (sample.name for sample in row.samples)
    for base in HISTOGRAMS.values():
        yield from (base + part for part in ("_bucket", "_sum", "_count"))
    yield AWAKE.name
    yield CACHE_CONFIG


CREATED = frozenset(_bare(name) + "_created" for name in _names() if name.endswith("_total"))
"""When each counter was made; neither Ray nor several API servers show it."""

WANTED: dict[str, str] = {
    prefix + name: name for name in (*_names(), *CREATED) for prefix in (PREFIX, *RAY_PREFIXES)
} | {PROCESS_START: PROCESS_START}
"""Every sample name that is read, with the name that the rows use for it."""
