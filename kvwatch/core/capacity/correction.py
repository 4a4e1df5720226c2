"""How much less a full engine achieves than the closed form: a run of the embedded scheduler, made now and then.

The embedded engine is kept saturated in virtual time on the same lengths with the same step law, and knows evictions,
admission rules and fluctuation; the ratio of its throughput to the closed form's is the correction. It changes slowly,
so it is computed in the background and applied to the closed form, which follows the inputs at every view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvwatch.core.capacity.full_engine import FullEngineInputs, FullLaw
from kvwatch.core.traffic.mix import Mix
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.queueing.capacity import binding
from kvwatch.queueing.congestion.stability import Stability, stability
from kvwatch.queueing.full_load import FullLoad

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
