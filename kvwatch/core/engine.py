"""One engine: samples in, estimates out. Everything it keeps is bounded, whatever the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.arrivals import ArrivalRate, Arrivals
from kvwatch.core.backlog import Backlog
from kvwatch.core.demand import DemandEstimates, estimate
from kvwatch.core.interval import IntervalReader
from kvwatch.core.kv_cache import DEFAULT_BLOCK_TOKENS, KvCapacity, kv_capacity
from kvwatch.core.largest import Largest, LargestRequest
from kvwatch.core.lengths import LengthWindow
from kvwatch.core.options import CoreOptions
from kvwatch.core.queue import QueueTrend
from kvwatch.core.request_window import RequestWindow
from kvwatch.core.steps import StepTime, StepTimes
from kvwatch.facts import EngineSample, RequestRecord, Settings
from kvwatch.stats.trend import Trend

_STEP_WINDOW_SECONDS = 60.0
_DEFAULT_CHUNK_TOKENS = 2048
"""Prompt chunk assumed where max_num_batched_tokens is not known; it matters to prompts longer than it only."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """All that the streams of one engine say at one time, before any model of what would be at full load."""

    arrivals: dict[str, ArrivalRate]
    arrival_trend: Trend | None
    step_time: StepTime | None
    demand: DemandEstimates
    capacity: KvCapacity | None
    largest: Largest | None
    queue: Trend | None
    observed_service_rate: float | None
    settings: Settings
    sample: EngineSample
    speculative: bool


class EngineEstimator:
    """Streaming estimates of one engine."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._reader = IntervalReader()
        self._arrivals = Arrivals(options.windows_seconds)
        self._steps = StepTimes(_STEP_WINDOW_SECONDS, options.trim_ratio)
        self._lengths = LengthWindow(options.demand_window_seconds)
        self._requests = RequestWindow(options.demand_window_seconds)
        self._largest = LargestRequest()
        self._queue = QueueTrend()
        self._backlog = Backlog()
        self._capacity: KvCapacity | None = None
        self._sample: EngineSample | None = None
        self._settings = Settings()
        self._first_at: float | None = None
        self.last_at = float("-inf")

    def observe(self, at: float, sample: EngineSample, data_parallel_engines: int) -> None:
        """Take the engine's numbers of one scrape."""
        if at <= self.last_at:
            return
        self.last_at = at
        if self._first_at is None:
            self._first_at = at
        self._capacity = kv_capacity(sample.cache, data_parallel_engines) or self._capacity
        interval, reset = self._reader.read(at, sample)
        aborted = self._arrivals.update(at, sample, interval, reset)
        self._largest.update(at, sample, interval)
        if reset or aborted:
            # who finished before is no fair sample of who is inside now
            self._lengths.clear()
            self._requests.clear()
            self._queue.clear()
            self._backlog.clear()
        if interval is not None and not aborted:
            step = self._steps.update(interval)
            self._lengths.update(interval, step, self._capacity.tokens if self._capacity else None)
            self._backlog.update(interval)
        waiting = sample.waiting_capacity if sample.waiting_capacity is not None else sample.waiting
        if waiting is not None:
            self._queue.update(at, waiting)
        self._sample = sample

    def observe_request(self, record: RequestRecord) -> None:
        """Take one request of a log; those that ended before the first scrape belong to no window."""
        if self._first_at is None or record.finish < self._first_at:
            return
        self._requests.update(record, self._block_tokens, self._chunk_tokens)
        if record.completed:
            self._largest.saw(record.finish, record.prompt_tokens + record.completion_tokens)

    def configure(self, settings: Settings) -> None:
        """Take the scheduler's settings as far as they are known."""
        self._settings = settings

    def estimates(self, now: float) -> Estimates | None:
        """Estimates up to the newest sample; ``None`` before the first."""
        if self._sample is None:
            return None
        joint = self._requests.mean(now, min_requests=10)
        demand = estimate(self._lengths.spans(), self._block_tokens, self._chunk_tokens, joint)
        step = self._steps.get()
        settle = (demand.steps or 0.0) * (step.trimmed_mean if step else 0.0)
        mean_output = demand.moments.mean_o if demand.moments else None
        return Estimates(
            arrivals={name: self._arrivals.get(name, now) for name in self._options.windows_seconds},
            arrival_trend=self._arrivals.trend(),
            step_time=step,
            demand=demand,
            capacity=self._capacity,
            largest=self._largest.get(now, self._settings.max_model_len),
            queue=self._queue.get(),
            observed_service_rate=self._backlog.service_rate(mean_output, settle),
            settings=self._settings,
            sample=self._sample,
            speculative=bool(self._sample.spec_decode_drafts),
        )

    @property
    def _block_tokens(self) -> int:
        return self._capacity.block_tokens if self._capacity else DEFAULT_BLOCK_TOKENS

    @property
    def _chunk_tokens(self) -> int:
        return self._settings.max_num_batched_tokens or _DEFAULT_CHUNK_TOKENS
