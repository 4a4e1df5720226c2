"""One simulated engine at one load: what kvwatch said at the end of a steady phase against what is true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from time import process_time

from bench.accuracy.drive import ALIAS
from bench.accuracy.engines import TrueEngine
from bench.accuracy.scored import Scored
from bench.accuracy.simulate import Phase, Run
from bench.accuracy.snapshot import EPOCH, Reader
from bench.accuracy.watcher import Model, Watcher
from bench.accuracy.workloads import Composition, composition
from kvwatch.core.capacity.full_engine import FullLaw
from kvwatch.facts import EngineKey
from kvwatch.views import EngineView

_REFRESH_SECONDS = 60
"""How often the runs of the embedded engine that are due are made, and a view looked at. [choice: kvwatch makes them
every 30 s to 3 min, and they take most of a sweep's time]"""


@dataclass(frozen=True, slots=True)
class Outcome(Scored):
    """One case. Rates in requests/s; errors are ratios to the truth, less one.

    ``truth`` is the saturated rate for the traffic that came in the phase: the long run's, times the pool's mean demand
    on the binding limit over that of the phase's requests. ``truth_pool`` is the long run's itself. ``plain`` is the
    formula with today's step time. ``name_known`` tells whether kvwatch saw the model's published name, or an alias.
    Three effects add up to the logarithm of the estimate over the truth: the step time that the learnt law gives for
    the true full step (``law_effect``); what kvwatch's model of the scheduler makes of the true pool with that law,
    beyond that (``scheduler_effect``); and the rest, which comes of the lengths that it has seen, and of calibration
    (``lengths_effect``). ``demand_errors`` are those of E[g] by method.
    """

    engine: int
    name: str
    hardware: str
    workload: str
    kind: str
    conditions: str
    factors: dict[str, str]
    name_known: bool
    held_out: bool
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
    utilization: dict[str, float]
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


def score(engine: TrueEngine, run: Run, *, name_known: bool) -> list[Outcome]:
    """Watch an engine's scrapes from first to last, and compare at the end of each phase."""
    watching = _Watching(engine, run, name_known=name_known)
    return [watching.outcome(phase) for phase in run.phases]


class _Watching:
    """A watcher of one run."""

    def __init__(self, engine: TrueEngine, run: Run, *, name_known: bool) -> None:
        self._engine = engine
        self._run = run
        self._name_known = name_known
        self._reader = Reader(engine.settings, EngineKey(engine.model_name if name_known else ALIAS, "0"))
        self._watcher = Watcher(engine.told)

    def _views(self, phase: Phase) -> Iterator[EngineView]:
        """Watch one phase; the view after each refresh of the model."""
        for scrape in self._run.trace.scrapes(self._reader, phase.start, phase.end):
            self._watcher.observe(scrape)
            second = round(scrape.at - EPOCH - phase.start)
            if second and (second % _REFRESH_SECONDS == 0 or second >= round(phase.end - phase.start)):
                self._watcher.refresh(scrape.at)
                yield self._watcher.view(scrape.at)

    def outcome(self, phase: Phase) -> Outcome:
        """Watch one phase, and compare at its end."""
        started = process_time()
        engine, run = self._engine, self._run
        views = list(self._views(phase))
        view, full, model = views[-1], run.full, self._watcher.model
        shapes = run.trace.arrived(phase.start, phase.end)
        settings = engine.settings
        mean = composition(shapes, settings.block_size_tokens, settings.max_num_batched_tokens)
        limit = full.limits[0]
        truth = full.rate * engine.composition.of(limit) / mean.of(limit)
        effects = _effects(run, model, view.service_rate.value, truth)
        return Outcome(
            engine=engine.index,
            name=engine.name,
            hardware=engine.system,
            workload=engine.workload.name,
            kind=engine.kind,
            conditions=engine.conditions,
            factors=engine.factors,
            name_known=self._name_known,
            held_out=engine.held_out,
            load=phase.load,
            phase_seconds=round(phase.end - phase.start),
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
            utilization=dict(view.utilization.value),
            utilization_lower=dict(view.utilization.lower),
            highest_utilization_lower=max((v for w in views for v in w.utilization.lower.values()), default=0.0),
            demand_errors=_demand_errors(engine, view, mean),
            correction=model.correction.factor if model and model.correction else None,
            law_effect=effects[0],
            scheduler_effect=effects[1],
            lengths_effect=effects[2],
            extrapolation=full.step_seconds / model.inputs.law.largest if model else None,
            cpu_seconds=process_time() - started,
        )


def _demand_errors(engine: TrueEngine, view: EngineView, phase: Composition) -> dict[str, float]:
    """Errors of E[g] by method against the phase's requests; none where prefixes are shared."""
    if engine.workload.prefixes:
        return {}
    return {method: g / phase.memory_token_steps - 1 for method, g in view.request_demand_token_steps.value.items()}


def _effects(
    run: Run, model: Model | None, rate: float | None, truth: float
) -> tuple[float | None, float | None, float | None]:
    """Logarithms of what law, model of the scheduler and lengths do to an estimate; positive is too high."""
    if model is None or rate is None:
        return None, None, None
    full = run.full
    full_law = FullLaw(model.inputs.law)
    law = -log(full_law.step_seconds(*full.composition) / full.step_seconds)
    of_the_pool = run.modelled.requests_per_step / full_law.mean_seconds(*run.modelled.composition)
    scheduler = log(of_the_pool / full.rate) - law
    return law, scheduler, log(rate / truth) - law - scheduler
