"""The engine at full load: flow conservation at once, and the embedded scheduler, run now and then, to correct it.

The closed form (queueing.full_load) knows no evictions, no admission rules and no fluctuation. The embedded engine,
kept saturated in virtual time on the same lengths with the same step law, knows them; the ratio of its throughput to
the closed form's is the correction. It changes slowly, so it is computed in the background and applied to the closed
form, which follows the inputs at every view.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.mix import Mix
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw
from kvwatch.queueing.capacity import Demand, Limits, binding
from kvwatch.queueing.full_load import FullLoad, full_loads
from kvwatch.stats.step_regression import LawFit

_UNKNOWN_SEATS = 4096
_UNKNOWN_BUDGET = 8192
_FINISHED = 400
"""Requests that a run measures: its throughput is then sure to 1 or 2%."""
_MAX_STEPS = 30_000
_SEED = 20260505


@dataclass(frozen=True, slots=True)
class FullEngineInputs:
    """All that the rate at full load depends on."""

    mix: Mix
    law: LawFit
    kv_tokens: float
    block_tokens: int
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    max_model_len: int | None

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

    def closed_form(self) -> dict[str, FullLoad]:
        """The full engine under each limit, without evictions."""
        d = self.mix.demand
        if d.moments is None or d.steps is None:
            return {}
        prompt = d.moments.mean_s * (1 - (d.cached_ratio or 0.0))
        chunks = max(d.steps - d.moments.mean_o + 1, 1.0)
        return full_loads(self.demand, self.limits, prompt, chunks, self.step_seconds)

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float) -> float:
        """Step time at full load [s]: the law's, but no less than the arithmetic takes.

        A decoding sequence needs as much arithmetic a step as a prompt token does. In a small batch it hides behind
        reading the weights, so that the law does not show it; in a batch of hundreds it does not (roofline: Williams,
        Waterman and Patterson, CACM 52, 2009).
        """
        _, _, per_token, per_resident = self.law.coefficients
        arithmetic = per_token * (decoding + prefill_tokens) + per_resident * resident_tokens
        return max(self.law.seconds((decoding, prefill_tokens, resident_tokens)), arithmetic)


@dataclass(frozen=True, slots=True)
class Correction:
    """Throughput of the embedded engine over the closed form's, with what the run showed."""

    factor: float
    saturation: Saturation
    limit: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """A saturated embedded engine: its requests, settings and step law, how many steps, and the closed form's load."""

    pool: list[RequestShape]
    settings: SchedulerSettings
    law: StepLaw
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
        return Correction(result.throughput_rps / x.load.rate, result, x.limit)

    def experiment(self) -> Experiment | None:
        """What the embedded engine is run on; ``None`` where no request fits or the inputs allow no closed form."""
        i = self.inputs
        loads = i.closed_form()
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
        lifetime, running = i.demand.steps, loads[limit].running
        steps = int(min(max(3 * lifetime + _FINISHED * lifetime / running, 1500), _MAX_STEPS))
        return Experiment(pool, settings, self._law(loads[limit]), steps, loads[limit], limit)

    def _law(self, load: FullLoad) -> StepLaw:
        """The fitted law, at full load as long as arithmetic takes.

        Hits that are not shared are computed by the embedded engine but not by the real one.
        """
        i = self.inputs
        b0, b1, b2, b3 = i.law.coefficients
        b1 += (load.step_seconds - i.law.seconds(load.composition)) / max(load.composition[0], 1.0)
        cached = i.mix.demand.cached_ratio or 0.0
        private = cached * (1 - i.mix.sharing)
        shared = cached * i.mix.sharing
        return StepLaw(max(b0, 1e-9), b1, b2 * (1 - cached) / max(1 - shared, 1e-9) if private else b2, b3)


def _fits(shape: RequestShape, i: FullEngineInputs) -> bool:
    longest = min(i.kv_tokens, i.max_model_len or i.kv_tokens)
    return shape.prompt_tokens + shape.output_tokens <= longest
