"""What can happen: the frozen values that cross from the outside into the core.

A fact is made by a parser (bytes in, facts out) or by the shell (a scrape that failed), and is all that
the core ever sees. Facts hold no logic beyond their own arithmetic. A field that the source did not show
is ``None``; it is never 0 and never −1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

import msgspec

VLLM = "vLLM"
SGLANG = "SGLang"


@dataclass(frozen=True, slots=True)
class EngineKey:
    """Names one vLLM engine behind a target, spelled exactly as vLLM spells its labels."""

    model_name: str
    engine: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative Prometheus histogram as scraped.

    ``edges`` are the upper bounds in rising order, the last one ``inf`` where the source has it;
    ``cumulative`` holds as many counts. ``total`` is the sum of the observed values, ``count`` their number.
    """

    edges: tuple[float, ...]
    cumulative: tuple[float, ...]
    total: float | None
    count: float | None


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """What ``vllm:cache_config_info`` says about the KV cache of one engine.

    ``num_gpu_blocks`` is the sum over all data-parallel engines of the server, repeated on each of them;
    ``kv_cache_size_tokens`` (vLLM ≥ 0.26) is of one engine. ``hybrid`` is true where sliding-window,
    mamba or similar cache groups make "tokens" an approximation.
    """

    block_size_tokens: int | None = None
    num_gpu_blocks: int | None = None
    kv_cache_size_tokens: int | None = None
    enable_prefix_caching: bool | None = None
    hybrid: bool = False


@dataclass(frozen=True, slots=True)
class EngineSample:
    """One engine's numbers in one scrape. Counters are cumulative since the server started.

    Token and request counts are floats because the exposition format has only floats.
    """

    key: EngineKey
    server: str = VLLM
    """The kind of server that it is of, by its usual name."""
    # gauges
    running: float | None = None
    waiting: float | None = None
    waiting_capacity: float | None = None
    waiting_deferred: float | None = None
    kv_usage_ratio: float | None = None
    asleep: bool | None = None
    max_num_seqs: float | None = None
    """Shown by Dynamo, beside vLLM's own metrics."""
    max_num_batched_tokens: float | None = None
    """Likewise."""
    # counters
    finished: float | None = None
    prompt_tokens: float | None = None
    prompt_tokens_computed: float | None = None
    """Prompt tokens that were computed here, without prefix-cache hits and transfers."""
    generation_tokens: float | None = None
    preemptions: float | None = None
    prefix_cache_hits: float | None = None
    """Prompt tokens found in the prefix cache, those of attempts to admit a request that failed included."""
    spec_decode_drafts: float | None = None
    # histograms of which only the sum and the count matter
    steps: float | None = None
    """``iteration_tokens_total_count``: engine steps that produced output."""
    step_tokens: float | None = None
    inter_token_seconds_sum: float | None = None
    inter_token_count: float | None = None
    first_token_count: float | None = None
    prefill_seconds_sum: float | None = None
    """Time from a request's first scheduling to its first token, summed over finished requests."""
    # histograms whose buckets matter
    request_prompt_tokens: Histogram | None = None
    request_generation_tokens: Histogram | None = None
    first_token_seconds: Histogram | None = None
    inter_token_seconds: Histogram | None = None
    queue_seconds: Histogram | None = None
    """Time in the queue until the first scheduling; a request counts when it finishes."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    created_at: float | None = None
    """Smallest ``_created`` time of this engine's counters, unix seconds; changes when counters reset."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One successful scrape of a target.

    ``at`` is the time the numbers are taken to be true (midpoint of the request when live, the recorded
    time in a replay), ``duration_seconds`` how long the request took.
    """

    at: float
    engines: tuple[EngineSample, ...]
    process_start: float | None = None
    duration_seconds: float | None = None
    bad_lines: int = 0
    multiprocess: bool = False
    """True where the exposition has neither ``_created`` nor ``process_*``: several API servers share it."""
    refusal: str = ""
    """What the target shows of a server and why no engine is made of it, in a sentence; empty where all is taken."""


@dataclass(frozen=True, slots=True)
class ScrapeFailed:
    """A scrape that brought nothing: why, in a word (``reason``) and in a sentence (``detail``)."""

    at: float
    reason: str
    detail: str = ""


class SettingSource(StrEnum):
    """Where a setting is from, as labels, JSON and logs spell it."""

    SERVER_INFO = "server_info"
    """``GET /server_info``, which vLLM answers in its development mode."""
    LOG = "log"
    """The server's own log."""
    PROCESS = "process"
    """The command line of the server's process, on this host."""
    EXPOSITION = "exposition"
    """Gauges beside vLLM's own, as Dynamo has them."""
    CONFIG = "config"
    """kvwatch's configuration: a file, a flag, or a label of a source of targets."""
    RECORDING = "recording"
    """``settings.json`` of a recording."""
    POD = "pod"
    """The containers of a Kubernetes pod."""
    MODELS = "models"
    """``GET /v1/models``."""
    MEASURED = "measured"
    """Inferred from the metrics."""
    DEFAULT = "default"
    """What vLLM takes where it is given nothing."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Settings:
    """Scheduler settings that vLLM's metrics do not show, as one ``source`` has them; ``None`` where it does not say.

    Attributes:
        max_num_seqs: Seats: requests that may run at once.
        max_num_batched_tokens: Token budget of one step; with speculative decoding what vLLM makes of it,
            ``max_num_scheduled_tokens``.
        max_model_len: Longest request [tokens].
        expert_ratio: k/E of the model's experts where a user gave it: 0 for a dense model.
        complete: Whether the source shows all that the server was given, so that what is not there has its default.
        device: ``cpu``, ``gpu``, or what :mod:`kvwatch.parse.settings.defaults` calls a class of GPUs.
        world_size: Workers of one engine: tensor times pipeline parallelism.
        version: The server's version, such as "0.32.0".
        own_budget_tokens: The budget that the server chose by itself, from which its other defaults follow.
        prefill_schedule_interval: One step in this many may hold prefill (vLLM 0.33).
        watermark_ratio: Share of the KV cache that an admission leaves free (vLLM 0.26).
        async_scheduling: Whether a step is scheduled while the one before it runs.
        enable_prefix_caching: Whether prompts are looked up in the cache.
    """

    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    source: SettingSource = SettingSource.UNKNOWN
    expert_ratio: float | None = None
    complete: bool = False
    device: str | None = None
    world_size: int | None = None
    version: str | None = None
    own_budget_tokens: int | None = None
    prefill_schedule_interval: int | None = None
    watermark_ratio: float | None = None
    async_scheduling: bool | None = None
    enable_prefix_caching: bool | None = None

    def over(self, other: Settings) -> Settings:
        """These settings where known, else the other's; of these the source, unless they have none."""
        known = {
            f.name: value
            for f in fields(self)
            if f.name not in ("source", "complete") and (value := getattr(self, f.name)) is not None
        }
        source = self.source if self.source is not SettingSource.UNKNOWN else other.source
        return replace(other, **known, source=source, complete=self.complete or other.complete)


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """One request that ended, from a request log or a trace: lengths in tokens, times in unix seconds.

    A struct where the other facts are dataclasses: it is made a hundred thousand times a second while a log is caught
    up, and costs a tenth so. ``msgspec.structs.replace`` is what changes a field.

    ``completed`` is false for a request that failed or was abandoned; its arrival still counts. ``source`` names
    the kind of input; ``tenant`` is whoever the request is charged to, already hashed where that is configured.
    ``model_name`` and ``engine`` are ``None`` where the source does not tell.
    """

    arrival: float
    finish: float
    prompt_tokens: int
    completion_tokens: int
    completed: bool = True
    cached_tokens: int = 0
    source: str = "requests"
    tenant: str | None = None
    model_name: str | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request that reached the server, from vLLM's own log; lengths are not known yet."""

    at: float
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class RequestAborted:
    """A request that the client gave up or that failed before it finished, from vLLM's own log."""

    at: float
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Iteration:
    """One engine step, from vLLM's iteration log: who was in the batch and how long it computed.

    ``index`` counts the engine's steps; a gap shows lost lines. ``elapsed_seconds`` leaves out what happens between
    two steps. ``at`` has the resolution of the log's time stamps. ``kv_usage_ratio`` is of vLLM ≥ 0.26 only.
    """

    at: float
    index: int
    context_requests: int
    context_tokens: int
    generation_requests: int
    generation_tokens: int
    elapsed_seconds: float
    kv_usage_ratio: float | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Input that could not be read: a short fixed ``reason`` for a counter, and where it was."""

    reason: str
    where: str = ""


Stamped = RequestRecord | RequestStarted | RequestAborted | Iteration
"""Facts that carry times of a machine's wall clock, where a scrape has the time at which it was made here."""


def moved(fact: Stamped, seconds: float) -> Stamped:
    """The fact, that much later."""
    if isinstance(fact, RequestRecord):
        return msgspec.structs.replace(fact, arrival=fact.arrival + seconds, finish=fact.finish + seconds)
    return replace(fact, at=fact.at + seconds)


Fact = Scrape | ScrapeFailed | Settings | RequestRecord | RequestStarted | RequestAborted | Iteration
