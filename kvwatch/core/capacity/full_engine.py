"""The engine at full load: flow conservation at once, and the embedded scheduler, run now and then, to correct it.

The closed form (queueing.full_load) knows no evictions, no admission rules and no fluctuation. The embedded engine,
kept saturated in virtual time on the same lengths with the same step law, knows them; the ratio of its throughput to
the closed form's is the correction. It changes slowly, so it is computed in the background and applied to the closed
form, which follows the inputs at every view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from kvwatch.constants import TINY
from kvwatch.core.traffic.mix import Mix
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.queueing.capacity import Demand, Limits, binding
from kvwatch.queueing.congestion.stability import Stability, stability
from kvwatch.queueing.full_load import FullLoad, full_loads
from kvwatch.stats.step_law_fit import LawFit

_OPEN_DEVIATION = 0.1
"""Relative sd of the full step, from not knowing the model, above which that is said [1]. Choice: with half of it most
engines would say so at a quarter of their capacity, with double μ may be a third off unsaid."""
_UNKNOWN_SEATS = 4096
"""Seats of the embedded engine where max_num_seqs is not known [requests]. Choice: more than memory ever lets run, so
that they do not bind."""
_UNKNOWN_BUDGET = 8192
"""Token budget of the embedded engine where max_num_batched_tokens is not known [tokens]. Data sheet: vLLM 0.32,
engine/arg_utils.py, the default of GPUs of 70 GiB and more."""
_FINISHED = 400
"""Requests that a run of the embedded engine measures [requests]. Choice: its throughput is then known to 1 or 2%,
below the embedded engine's own error; double costs double the CPU."""
_MAX_STEPS = 30_000
"""Longest run of the embedded engine [steps]. Choice: half a second of CPU; outputs of thousands of tokens reach it,
and are then measured over fewer lifetimes."""
LONGEST_WAVE_TOKENS = 1 << 18
"""Longest output up to which it is worked out whether the mix makes waves [tokens]. Choice: twice the context of most
models; 1.6 s of CPU, and time and memory go with the length, which a damaged histogram may make any."""
LEAST_PERIOD_LIFETIMES = 0.5
"""Shortest period of a wave that matters, over the mean output [1]. Choice: a request outlives a faster ripple twice
and more, runs through crests and troughs alike, and so the batch that it is part of hardly swings."""
_SEED = 20260505
"""Seed of the order of requests in a run [1]. Choice: any; always the same, so that a correction moves with its inputs
only."""
_LEAST_STEPS = 1500
"""Shortest run of the embedded engine [steps]. Choice: a quarter of it warms up, and short outputs cost next to
nothing."""
_WARM_UP_LIFETIMES = 3
"""Mean lifetimes of a run before its measuring [lifetimes]. Choice: all begin together; after two generations have
finished that no longer shows, and it costs no more than the measuring."""
_MET_LIFETIMES = 4
"""Lifetimes of the request that one meets in a full engine, E[T²]/E[T], that a run lasts at least [lifetimes]. Choice:
where lengths are wide it outlives the mean one several times; half of the run lets the longest grow as old as in the
long run, and half is measured."""


@dataclass(frozen=True)
class FullEngineInputs:
    """All that the rate at full load depends on."""

    mix: Mix
    law: LawFit
    kv_tokens: float
    block_tokens: int
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    max_model_len: int | None
    watermark_ratio: float = 0.0
    """Share of the KV cache that an admission leaves free [1]."""

    @property
    def demand(self) -> Demand:
        """E[g], E[T] and E[w] of the mix; under prefix sharing E[g] is what is really held."""
        d = self.mix.demand
        g = self.mix.held
        if d.moments is not None and d.steps is not None:
            g -= self.mix.sharing * (d.cached_ratio or 0.0) * d.moments.mean_s * d.steps
        return Demand(max(g, 1.0), d.steps, d.compute_tokens)

    @property
    def limits(self) -> Limits:
        """M, S and C as far as they are known."""
        return Limits(self.kv_tokens, self.max_num_seqs, self.max_num_batched_tokens)

    @cached_property
    def closed_form(self) -> Mapping[str, FullLoad]:
        """The full engine under each limit, without evictions; worked out once, when first asked for."""
        d = self.mix.demand
        if d.moments is None or d.steps is None:
            return {}
        prompt = d.moments.mean_s * (1 - (d.cached_ratio or 0.0))
        chunks = max(d.steps - d.moments.mean_o + 1, 1.0)
        # this prompt is without what the cache had, so the law takes it as it is
        return full_loads(self.demand, self.limits, prompt, chunks, FullLaw(self.law).step_seconds)

    def model_matters(self, load: FullLoad) -> bool:
        """Whether it is open if the model is a mixture of experts, and μ another one if it is."""
        return self.law.shape_deviation(load.composition) > _OPEN_DEVIATION

    @property
    def full_law(self) -> FullLaw:
        """The step law at full load."""
        cached = self.mix.demand.cached_ratio or 0.0
        shared = cached * self.mix.sharing
        return FullLaw(self.law, (1 - cached) / max(1 - shared, TINY))


@dataclass(frozen=True, slots=True)
class FullLaw:
    """The fitted law as the embedded engine asks for it.

    ``uncached_ratio`` is the share of the prompt tokens that the embedded engine computes and the real one does too:
    hits that are not shared are computed by the embedded engine alone.
    """

    fit: LawFit
    uncached_ratio: float = 1.0

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Duration of one step of the embedded engine [s]."""
        return self.fit.seconds((decoding, prefill_tokens * self.uncached_ratio, resident_tokens, share))

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """Mean duration of the embedded engine's steps [s]."""
        return self.step_seconds(decoding, prefill_tokens, resident_tokens, prefill_share)


@dataclass(frozen=True, slots=True)
class Correction:
    """Throughput of the embedded engine over the closed form's, with what the run showed.

    ``stability`` tells whether the traffic's mix makes waves grow; it takes as long to compute as a short run.
    """

    factor: float
    saturation: Saturation
    limit: str
    stability: Stability | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """A saturated embedded engine: its requests, settings and step law, how many steps, and the closed form's load."""

    pool: list[RequestShape]
    settings: SchedulerSettings
    law: FullLaw
    steps: int
    load: FullLoad
    limit: str


@dataclass(frozen=True, slots=True)
class FullEngineRun:
    """A run of the embedded engine, ready to be made anywhere: pure, seeded, a fraction of a second of CPU."""

    inputs: FullEngineInputs

    def run(self) -> Correction | None:
        """The correction; ``None`` where no request fits or the inputs allow no closed form."""
        x = self.experiment()
        if x is None:
            return None
        result = saturate(x.pool, x.settings, x.law, steps=x.steps, seed=_SEED)
        return Correction(result.throughput_rps / x.load.rate, result, x.limit, stability_of(self.inputs.mix))

    def experiment(self) -> Experiment | None:
        """What the embedded engine is run on; ``None`` where no request fits or the inputs allow no closed form."""
        i = self.inputs
        loads = i.closed_form
        limit = binding({name: load.running for name, load in loads.items()})
        pool = [shape for shape in i.mix.pool() if _fits(shape, i)]
        if limit is None or not pool or i.demand.steps is None:
            return None
        settings = SchedulerSettings.from_capacity(
            int(i.kv_tokens),
            block_size_tokens=i.block_tokens,
            max_num_seqs=i.max_num_seqs or _UNKNOWN_SEATS,
            max_num_batched_tokens=i.max_num_batched_tokens or _UNKNOWN_BUDGET,
            max_model_len=i.max_model_len,
            enable_prefix_caching=any(shape.shared_prefix_tokens for shape in pool),
        )
        settings = replace(settings, watermark_ratio=i.watermark_ratio)
        return Experiment(pool, settings, i.full_law, self._steps(loads[limit].running), loads[limit], limit)

    def _steps(self, running: float) -> int:
        """How long a run is [steps], with ``running`` requests at once."""
        lifetime, outputs = self.inputs.demand.steps or 0.0, self.inputs.mix.output_tokens
        met = float((outputs**2).mean() / outputs.mean())
        enough = max(_WARM_UP_LIFETIMES * lifetime + _FINISHED * lifetime / running, _MET_LIFETIMES * met, _LEAST_STEPS)
        return int(min(enough, _MAX_STEPS))


def stability_of(mix: Mix) -> Stability | None:
    """Whether a mix makes waves grow; ``None`` where its longest output is beyond :data:`LONGEST_WAVE_TOKENS`."""
    s, o = mix.grown_lengths()
    if o.max() > LONGEST_WAVE_TOKENS:
        return None
    least_period = LEAST_PERIOD_LIFETIMES * float(o.mean())
    return stability(s, o, requests=mix.demand.requests, least_period_steps=least_period)


def _fits(shape: RequestShape, i: FullEngineInputs) -> bool:
    longest = min(i.kv_tokens, i.max_model_len or i.kv_tokens)
    return shape.prompt_tokens + shape.output_tokens <= longest
