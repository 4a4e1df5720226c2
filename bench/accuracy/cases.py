"""One simulated engine at one load: what kvwatch said at the end of a steady phase against what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from time import process_time

from bench.accuracy.drive import Drive, Model
from bench.accuracy.engines import TrueEngine
from bench.accuracy.saturated import FullEngine
from bench.accuracy.scored import Scored
from bench.accuracy.workloads import Composition, Drawn, composition
from kvwatch.core.capacity.full_engine import FullLaw
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.workload import Segment, arrivals
from kvwatch.views import EngineView

PHASE_SECONDS = 300
QUIET_PHASE_SECONDS = 600
"""At loads up to a quarter, where few requests finish."""
_MIN_WARM_SECONDS = 60.0
_WARM_LIFETIMES = 1.5
_FINISHED = 800


@dataclass(frozen=True, slots=True)
class Outcome(Scored):
    """One case. Rates in requests/s; errors are ratios to the truth, less one.

    ``truth`` is the saturated rate for the traffic that came in the phase: the long run's, times the pool's mean demand
    on the binding limit over that of the phase's requests. ``truth_pool`` is the long run's itself. ``plain`` is the
    formula with today's step time. Three effects add up to the logarithm of the estimate over the truth: the step time
    that the learnt law gives for the true full step (``law_effect``); what kvwatch's model of the scheduler makes of
    the true pool with that law, beyond that (``scheduler_effect``); and the rest, which comes of the lengths that it
    has seen, and of calibration (``lengths_effect``). ``demand_errors`` are those of E[g] by method.
    """

    engine: int
    name: str
    hardware: str
    workload: str
    kind: str
    conditions: str
    factors: dict[str, str]
    load: float
    phase_seconds: int
    requests: int
    truth: float
    truth_pool: float
    true_limits: tuple[str, ...]
    kept_waiting: dict[str, float]
    true_preemptions: float
    rate: float | None
    lower: float | None
    upper: float | None
    plain: float | None
    limit: str | None
    reason: str
    utilization_lower: dict[str, float]
    highest_utilization_lower: float
    demand_errors: dict[str, float]
    correction: float | None
    law_effect: float | None
    scheduler_effect: float | None
    lengths_effect: float | None
    extrapolation: float | None
    cpu_seconds: float

    @property
    def pool_error(self) -> float | None:
        """Relative error of μ against the rate for the whole pool."""
        return None if self.rate is None else self.rate / self.truth_pool - 1

    @property
    def pool_covered(self) -> bool | None:
        """The same for the rate for the whole pool."""
        return None if self.lower is None or self.upper is None else self.lower <= self.truth_pool <= self.upper

    @property
    def half_width(self) -> float | None:
        """Half of the interval over the estimate."""
        if self.lower is None or self.upper is None or self.rate is None:
            return None
        return (self.upper - self.lower) / 2 / self.rate

    @property
    def limit_right(self) -> bool | None:
        """Whether the binding limit is named right; two within 3% are both right."""
        return None if self.limit is None else self.limit in self.true_limits


def score(engine: TrueEngine, full: FullEngine, loads: Sequence[float], *, as_text: bool = False) -> list[Outcome]:
    """Put an engine under one load after the other, watch it all the while, and compare at the end of each phase."""
    warm = max(_MIN_WARM_SECONDS, float(round(_WARM_LIFETIMES * full.lifetime_seconds)))
    seed = 1000 * engine.index + round(100 * loads[0])
    phases = [Segment(float(_phase_seconds(load)), load * full.rate, load * full.rate) for load in loads]
    begin = Segment(warm, phases[0].start_rate, phases[0].start_rate)
    stream = arrivals([begin, *phases], Drawn(engine.pool), seed=seed, burstiness=engine.burstiness)
    drive = Drive(engine, stream, seed=seed, as_text=as_text)
    drive.run(warm)
    outcomes, start = [], warm
    for load, phase in zip(loads, phases, strict=True):
        outcomes.append(_phase(engine, full, drive, load, (start, start + phase.seconds)))
        start += phase.seconds
    return outcomes


def _phase_seconds(load: float) -> int:
    return QUIET_PHASE_SECONDS if load <= 0.25 else PHASE_SECONDS


def _phase(engine: TrueEngine, full: FullEngine, drive: Drive, load: float, span: tuple[float, float]) -> Outcome:
    """Watch one phase, and compare at its end."""
    started = process_time()
    views = list(drive.watch(*span))
    view = views[-1][1]
    shapes = drive.arrived(*span)
    settings = engine.settings
    phase = composition(shapes, settings.block_size_tokens, settings.max_num_batched_tokens)
    pool, limit = engine.composition, full.limits[0]
    truth = full.rate * pool.of(limit) / phase.of(limit)
    effects = _effects(engine, full, drive.model, view.service_rate.value, truth)
    return Outcome(
        engine=engine.index,
        name=engine.name,
        hardware=engine.hardware.name,
        workload=engine.workload.name,
        kind=engine.truth.kind,
        conditions=engine.conditions,
        factors=engine.factors,
        load=load,
        phase_seconds=_phase_seconds(load),
        requests=len(shapes),
        truth=truth,
        truth_pool=full.rate,
        true_limits=full.limits,
        kept_waiting=full.kept_waiting,
        true_preemptions=full.preemptions_per_finished,
        rate=view.service_rate.value,
        lower=view.service_rate.lower,
        upper=view.service_rate.upper,
        plain=view.service_rate_plain,
        limit=next(iter(view.binding_limit), None),
        reason=view.estimate_valid["service_rate"].reason,
        utilization_lower=dict(view.utilization.lower),
        highest_utilization_lower=max((v for _, w in views for v in w.utilization.lower.values()), default=0.0),
        demand_errors=_demand_errors(engine, view, phase),
        correction=drive.model.correction.factor if drive.model and drive.model.correction else None,
        law_effect=effects[0],
        scheduler_effect=effects[1],
        lengths_effect=effects[2],
        extrapolation=full.step_seconds / drive.model.inputs.law.largest if drive.model else None,
        cpu_seconds=process_time() - started,
    )


def _demand_errors(engine: TrueEngine, view: EngineView, phase: Composition) -> dict[str, float]:
    """Errors of E[g] by method against the phase's requests; none where prefixes are shared."""
    if engine.workload.prefixes:
        return {}
    return {method: g / phase.memory_token_steps - 1 for method, g in view.request_demand_token_steps.value.items()}


def _effects(
    engine: TrueEngine, full: FullEngine, model: Model | None, rate: float | None, truth: float
) -> tuple[float | None, float | None, float | None]:
    """Logarithms of what law, model of the scheduler and lengths do to an estimate; positive is too high."""
    if model is None or rate is None:
        return None, None, None
    learnt = model.inputs.law
    full_law = FullLaw(learnt)
    law = -log(full_law.step_seconds(*full.composition) / full.step_seconds)
    told = replace(engine.settings, watermark_ratio=0.0)
    running = min(engine.concurrency.values())
    steps = int(min(max((4 + _FINISHED / running) * engine.composition.steps, 2000), 30_000))
    of_the_pool = saturate(engine.pool, told, full_law, steps=steps, seed=engine.index).throughput_rps
    scheduler = log(of_the_pool / full.rate) - law
    return law, scheduler, log(rate / truth) - law - scheduler
