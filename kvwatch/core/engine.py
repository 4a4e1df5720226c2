"""One engine: samples in, estimates out. Everything it keeps is bounded, whatever the traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvwatch.core.arrivals import ArrivalRate, Arrivals
from kvwatch.core.backlog import Backlog, ObservedRate
from kvwatch.core.calibration import Calibration
from kvwatch.core.congestion import NOTHING_KNOWN, Congestion, CongestionWatch
from kvwatch.core.demand import MIN_REQUESTS, estimate
from kvwatch.core.full_engine import FullEngineInputs
from kvwatch.core.interval import IntervalReader
from kvwatch.core.iterations import IterationRows
from kvwatch.core.joint_mix import joint_mix
from kvwatch.core.kv_cache import DEFAULT_BLOCK_TOKENS, KvCapacity, kv_capacity
from kvwatch.core.lengths import LengthWindow
from kvwatch.core.mix import LengthMix, Mix
from kvwatch.core.options import CoreOptions
from kvwatch.core.pauses import Pauses
from kvwatch.core.prescription import PRESCRIBE_REQUESTS, ModelResult, ModelRun, Prescriber, Prescription
from kvwatch.core.progress import Progress
from kvwatch.core.queue import QueueTrend
from kvwatch.core.refresh import Refresh
from kvwatch.core.request_log import RequestLog
from kvwatch.core.request_window import JointSample
from kvwatch.core.service_rate import Evidence
from kvwatch.core.speculation import Speculation
from kvwatch.core.stable_limit import Largest, LargestRequest
from kvwatch.core.step_law import StepLawMemory
from kvwatch.core.steps import StepTimes
from kvwatch.core.tenants import TenantUses
from kvwatch.estimate import Estimate
from kvwatch.facts import EngineSample, Iteration, RequestAborted, RequestRecord, RequestStarted, Settings
from kvwatch.stats.trend import Trend

_STEP_WINDOW_SECONDS, _BACKLOG_WINDOW_SECONDS = 60.0, 60.0
_QUEUE_WINDOW_SECONDS, _WAVE_WINDOW_SECONDS = 120.0, 300.0
_LEARN_EVERY_SECONDS = 10.0
_PRESCRIBE_SECONDS = 60.0
"""A search costs a second or more of CPU."""
_PREEMPTIONS_WORTH_IT = 0.02
"""With fewer evictions for each request at full load there is nothing to gain."""
_LONG_BACKLOG_LIFETIMES = 4.0
_AHEAD_SECONDS = 60.0
"""Log lines farther in the future come from a clock that is not this one."""
_TURNED_AWAY_SECONDS = 1.0
"""A request that failed sooner was refused, by a gateway or for its content, and never waited for the engine."""
_LOG_LAG_SECONDS = 10.0
"""How far a log of starts may lag without being taken for stopped."""
_DEFAULT_CHUNK_TOKENS = 2048
"""Prompt chunk assumed where max_num_batched_tokens is not known; it matters to prompts longer than it only."""
_JOINT_REQUESTS = 1000
"""Requests of a log that the mix reaches back for, as far as it has not changed."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """All that is known of one engine at one time.

    ``since`` is the time of its first sample, or of the first after its counters began anew.
    """

    at: float
    since: float
    arrivals: dict[str, ArrivalRate]
    arrival_trend: Trend | None
    shortest_window_seconds: float
    evidence: Evidence
    largest: Largest | None
    queue: Estimate
    sample: EngineSample
    tenants: TenantUses | None = None
    congestion: Congestion = NOTHING_KNOWN
    prescription: Prescription | None = None


class EngineEstimator:
    """Streaming estimates of one engine."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._reader = IntervalReader()
        self._arrivals = Arrivals(options.windows_seconds, options.span_seconds(_LOG_LAG_SECONDS, 3))
        self._steps = StepTimes(options.span_seconds(_STEP_WINDOW_SECONDS, 10), options.trim_ratio)
        self._lengths = LengthWindow(options.span_seconds(options.demand_window_seconds, 8))
        self._log = RequestLog(options.demand_window_seconds, options.top_tenants)
        self._unlogged = 0.0
        self._iterations = IterationRows()
        self._pauses = Pauses(options.span_seconds(options.demand_window_seconds, 8))
        self._mix = LengthMix(options.span_seconds(options.demand_window_seconds, 8))
        self._law = StepLawMemory()
        self._speculation = Speculation()
        self._calibration = Calibration()
        self._refresh = Refresh(options.model_max_age_seconds)
        self._congestion = CongestionWatch(
            options.span_seconds(_WAVE_WINDOW_SECONDS, 100), options.span_seconds(_STEP_WINDOW_SECONDS, 4)
        )
        self._prescriber = Prescriber(max(options.model_max_age_seconds, _PRESCRIBE_SECONDS))
        self._largest = LargestRequest()
        self.progress = Progress()
        self._queue = QueueTrend(options.span_seconds(_QUEUE_WINDOW_SECONDS, 12))
        self._backlog = Backlog(options.span_seconds(_BACKLOG_WINDOW_SECONDS, 4))
        self._capacity: KvCapacity | None = None
        self._sample: EngineSample | None = None
        self._settings = Settings()
        self._learned_at = float("-inf")
        self._full: FullEngineInputs | None = None
        self._traffic: Mix | None = None
        self._full_at = float("-inf")
        self.last_at = float("-inf")
        self._since = float("-inf")

    def observe(self, at: float, sample: EngineSample, data_parallel_engines: int) -> None:
        """Take the engine's numbers of one scrape."""
        if at <= self.last_at:
            return
        self.last_at = at
        self._capacity = kv_capacity(sample.cache, data_parallel_engines) or self._capacity
        kv_tokens = self._capacity.tokens if self._capacity else None
        interval, reset = self._reader.read(at, sample)
        aborted = self._arrivals.update(at, sample, interval, reset)
        self._largest.update(at, sample, interval)
        self.progress.update(at, sample)
        if sample.running is not None and sample.waiting is not None:
            self._pauses.update(at, sample.running + sample.waiting)
        if reset or aborted or self._sample is None:
            # who finished before is no fair sample of who is inside now
            self._lengths.clear()
            self._mix.clear(self._speculation.sample(sample), keep=self._sample is None)
            self._queue.clear()
            self._backlog.clear()
            self._congestion.clear()
        if reset or self._sample is None:
            self._since = at
        if reset:
            self._law.doubt()
        if reset or aborted:  # what a log told before the first scrape, or before a restart of ours, stays
            self._log.clear(at)
        if interval is not None and not aborted:
            step = self._steps.update(interval)
            if self._speculation.update(interval, sample):
                # what was counted in another unit says nothing about lengths in this one
                self._lengths.clear()
                self._mix.clear(self._speculation.sample(sample))
            units = self._speculation.interval(interval)
            kv_units = kv_tokens / self._speculation.unit_tokens if kv_tokens is not None else None
            self._lengths.update(units, step, kv_units)
            self._mix.update(units, self._speculation.sample(sample), step, kv_units)
            self._unlogged += interval.lengths_count
            told = self._iterations.alive(at)
            self._law.update(interval, step, kv_tokens, self._chunk_tokens, watch_only=told)
            self._backlog.update(interval)
            self._congestion.update(interval, sample)
        waiting = sample.waiting_capacity if sample.waiting_capacity is not None else sample.waiting
        if waiting is not None:
            self._queue.update(at, waiting)
        self._sample = sample
        if at - self._learned_at >= _LEARN_EVERY_SECONDS:
            self._learn_from_backlog(at, min(at - self._learned_at, 2 * _LEARN_EVERY_SECONDS))
            self._learned_at = at

    def _learn_from_backlog(self, at: float, seconds: float) -> None:
        observed = self._observed() if self._backlog.active else None
        full = self._full_engine(at) if observed is not None else None
        if observed is None or full is None or self._refresh.correction is None or not self._is_full:
            return
        load = full.closed_form().get(self._refresh.correction.limit)
        if load is not None:
            self._calibration.learn(at, seconds, load.rate * self._refresh.correction.factor, observed.rate)

    def observe_request(self, record: RequestRecord, now: float, share: float = 1.0) -> None:
        """Take one request that ended, or the ``share`` of it that is this engine's where it cannot be told whose.

        ``now`` is the newest time known otherwise [unix s]. Records may come late and in any order.
        """
        if not self._log.update(record, share, (self._block_tokens, self._chunk_tokens), now):
            return
        self._unlogged = 0.0
        if record.completed:
            self._largest.saw(record.finish, record.prompt_tokens + record.completion_tokens)
        elif share == 1 and record.finish - record.arrival >= _TURNED_AWAY_SECONDS:
            self._arrivals.abandoned(record.finish, "records")

    def observe_start(self, event: RequestStarted | RequestAborted, now: float) -> None:
        """Take a line of the server's log about a request that starts or is given up."""
        if isinstance(event, RequestStarted):
            self._arrivals.starts.add(event.at, now)
        elif event.at <= now + _AHEAD_SECONDS:
            self._arrivals.abandoned(event.at, "aborts")

    def observe_iteration(self, step: Iteration) -> None:
        """Take a step of the server's iteration log."""
        usage = self._sample.kv_usage_ratio if self._sample is not None else None
        row = self._iterations.update(step, self._capacity.tokens if self._capacity else None, usage)
        if row is not None:
            self._law.learn(step.at, row)

    def configure(self, settings: Settings) -> None:
        """Take the scheduler's settings as far as they are known."""
        if settings != self._settings:
            self._settings = settings
            self._refresh.forget()
            self._prescriber.forget()
            self._full_at = float("-inf")

    def due_run(self, now: float) -> ModelRun | None:
        """A run of the embedded engine to make now, in the background; its result goes to :meth:`correct`."""
        run = self._refresh.due(now, lambda: self._full_engine(self.last_at))
        return run if run is not None or not self.can_prescribe() else self._prescriber.due(now, self._evicting)

    def can_prescribe(self) -> bool:
        """Whether all is known that a better max_num_seqs depends on."""
        sample = self._sample
        known = self._refresh.correction is not None and self._settings.max_num_seqs is not None
        return known and sample is not None and not sample.spec_decode_drafts

    def _evicting(self) -> FullEngineInputs | None:
        """The engine at full load, if it would evict there and its traffic is known well."""
        correction, full = self._refresh.correction, self._full_engine(self.last_at)
        if correction is None or full is None:
            return None
        evicts = (correction.saturation.preemptions_per_finished or 0.0) > _PREEMPTIONS_WORTH_IT
        return full if evicts and full.mix.demand.requests >= PRESCRIBE_REQUESTS else None

    def correct(self, correction: ModelResult) -> None:
        """Take the result of a run; ``None`` leaves the closed form uncorrected."""
        if isinstance(correction, Prescription):
            self._prescriber.prescription = correction
            return
        self._refresh.correction = correction
        if correction is not None:
            s = correction.saturation
            unit = self._speculation.unit_tokens
            self._law.expect((s.mean_decoding, s.mean_prefill_tokens * unit, s.mean_kv_tokens * unit))

    def _full_engine(self, at: float) -> FullEngineInputs | None:
        """What the engine at full load is computed from; kept for as long as the samples are the same."""
        if self._full_at == at:
            return self._full
        self._full_at, self._full, self._traffic = at, None, None
        law, capacity = self._law.get(), self._capacity
        if capacity is None:
            return None
        self._log.changed_at = max(self._log.changed_at, self._mix.cut_at)
        units, (block, chunk) = self._speculation, self._units
        # a log gives lengths in tokens and not how many steps they took
        joint = self._joint(at, (_JOINT_REQUESTS, self._log.changed_at)) if units.unit_tokens == 1 else None
        longest = self._settings.max_model_len
        if joint is not None:
            demand = self._mix.demand(capacity.block_tokens, self._chunk_tokens)
            mix: Mix | None = joint_mix(demand, joint, capacity.block_tokens, self._chunk_tokens)
        else:
            mix = self._mix.get(block, chunk, longest / units.unit_tokens if longest is not None else None)
        if mix is None or mix.demand.requests < MIN_REQUESTS:
            return None
        self._traffic = mix
        if law is None:
            return None
        self._full = FullEngineInputs(
            mix=mix,
            law=units.law(law),
            kv_tokens=capacity.tokens / units.unit_tokens,
            block_tokens=block,
            max_num_seqs=self._settings.max_num_seqs,
            max_num_batched_tokens=chunk if self._settings.max_num_batched_tokens is not None else None,
            max_model_len=units.whole(longest) if longest is not None else None,
        )
        return self._full

    def _joint(self, now: float, reach: tuple[float, float] | None = None) -> JointSample | None:
        """The requests of the log that stand for the traffic; ``None`` where there is none, or it has stopped.

        A log is as quiet as its server: it has stopped when requests finish that it does not tell of.
        """
        if self._unlogged and now - self._log.window.newest > self._options.demand_window_seconds:
            return None
        sizes = (self._block_tokens, self._chunk_tokens)
        return self._log.sample(now, sizes, MIN_REQUESTS, self._pauses.since(now), reach)

    def _observed(self) -> ObservedRate | None:
        """Observed service rate, from one mean lifetime after the backlog began."""
        step = self._steps.get() if self._backlog.active else None
        if step is None:
            return None
        spans = self._lengths.spans()
        finished = sum(s.count for s in spans)
        lifetime = sum(s.output_tokens for s in spans) / finished * step.trimmed_mean if finished else 0.0
        # the batch of a short backlog is not yet that of a full engine, unless a limit shows that it is
        if self._is_full:
            return self._backlog.get(lifetime)
        told = self._sample is not None and self._sample.waiting_capacity is not None
        # without the server's word for it, beside room in all limits, requests wait for something else than capacity
        believed = told or self._settings.max_num_seqs is None
        return self._backlog.get(_LONG_BACKLOG_LIFETIMES * lifetime) if believed else None

    @property
    def _is_full(self) -> bool:
        return self._sample is not None and self._backlog.is_full(self._sample, self._settings, self._chunk_tokens)

    def estimates(self) -> Estimates | None:
        """Estimates up to the newest sample; ``None`` before the first."""
        if self._sample is None:
            return None
        now, step = self.last_at, self._steps.get()
        since = self._pauses.since(now)
        joint = self._joint(now)
        full = self._full_engine(now)
        block, chunk = self._units
        unit = self._speculation.unit_tokens
        demand = estimate(
            self._lengths.spans(since, MIN_REQUESTS),
            block,
            chunk,
            joint.demand / unit**2 if joint is not None else None,
        )
        if unit != 1:
            demand = replace(demand, by_method={method: g * unit for method, g in demand.by_method.items()})
        return Estimates(
            at=now,
            since=self._since,
            arrivals={name: self._arrivals.get(name, now) for name in self._options.windows_seconds},
            arrival_trend=self._arrivals.trend(now),
            shortest_window_seconds=min(self._options.windows_seconds.values()),
            evidence=Evidence(
                full=full,
                correction=self._refresh.correction,
                calibration=self._calibration.factor(now),
                observed=self._observed(),
                demand=demand,
                step_time=step,
                kv_capacity=self._capacity,
                settings=self._settings,
                running=self._sample.running,
                speculative=bool(self._sample.spec_decode_drafts),
                law_known=self._law.get() is not None,
            ),
            largest=self._largest.get(now, self._settings.max_model_len),
            queue=self._queue.get(),
            sample=self._sample,
            tenants=self._log.uses(now),
            congestion=self._congestion.get(now, self._traffic, self._refresh.correction, step),
            prescription=self._prescriber.prescription,
        )

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart: what takes hours to learn, and what logs have told, which come once."""
        return {
            "law": self._law.dump(),
            "calibration": self._calibration.dump(),
            "mix": self._mix.dump() if self._speculation.unit_tokens == 1 else None,
            "logs": {
                "requests": self._log.dump(),
                "arrivals": self._arrivals.dump(),
                "largest": self._largest.dump(),
            },
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state, one of an older version too.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        law, calibration, logs = state["law"], state["calibration"], state.get("logs")
        if not isinstance(law, dict) or not isinstance(calibration, dict):
            raise TypeError("law and calibration must be objects")
        if logs is not None:
            if not isinstance(logs, dict) or not all(isinstance(part, dict) for part in logs.values()):
                raise TypeError("logs must be objects")
            try:
                self._log.restore(logs["requests"])
                self._arrivals.restore(logs["arrivals"])
                self._largest.restore(logs["largest"])
            except (OverflowError, AttributeError) as error:
                raise ValueError(str(error)) from None
        self._mix.restore(state.get("mix"))
        self._law.restore(law)
        self._calibration.restore(calibration)

    @property
    def _units(self) -> tuple[int, int]:
        """Block and chunk in the unit that lengths are counted in: tokens, but for speculative decoding."""
        return self._speculation.whole(self._block_tokens), self._speculation.whole(self._chunk_tokens)

    @property
    def _block_tokens(self) -> int:
        return self._capacity.block_tokens if self._capacity else DEFAULT_BLOCK_TOKENS

    @property
    def _chunk_tokens(self) -> int:
        return self._settings.max_num_batched_tokens or _DEFAULT_CHUNK_TOKENS
