"""Restarts of the watcher and changes in mid-run: how soon the estimates are right, and which of them move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import orjson

from bench.accuracy.drive import Drive
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.moe_engines import moe_design
from bench.accuracy.saturated import keep_full
from bench.accuracy.watcher import TARGET
from bench.accuracy.workloads import WORKLOADS, Drawn, composition
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Segment, arrivals
from kvwatch.views import EngineView

WARM_SECONDS = 120.0
LEARNING_SECONDS = 300
RESTART_LOADS = (0.3, 0.7)
LEARNT_LOAD = 0.7
FIRST_ESTIMATE_SECONDS = 60
SETTLED_RATIO = 0.1
HOLD_SECONDS = 60
BEFORE_SECONDS, AFTER_SECONDS = 300, 400
CHANGE_LOAD = 0.6
_STEP_SECONDS = 10
LAW_FACTOR = 1.5
MIX_SHIFT = "mix"
"""How the name of a change of the lengths begins."""


@dataclass(frozen=True, slots=True)
class Restart:
    """The estimate a minute after the watcher started anew, with its saved state and with nothing.

    ``truth`` is the saturated rate for the traffic at large: a minute brings too few requests to speak of its own mix.
    """

    name: str
    load: float
    truth: float
    rate: float | None
    lower: float | None
    upper: float | None
    rate_unsaved: float | None

    @property
    def error(self) -> float | None:
        """Relative error with the saved state."""
        return None if self.rate is None else self.rate / self.truth - 1

    @property
    def unsaved_error(self) -> float | None:
        """Relative error without."""
        return None if self.rate_unsaved is None else self.rate_unsaved / self.truth - 1

    @property
    def covered(self) -> bool:
        """Whether the 90% interval holds the truth."""
        return self.lower is not None and self.upper is not None and self.lower <= self.truth <= self.upper


@dataclass(frozen=True, slots=True)
class Course:
    """One quantity over a change; λ is held against the requests that did arrive, scaled to the mean rate.

    ``before`` and ``after`` are true values, ``settled_seconds`` the time after the change from which on the
    estimate stayed within 10% of the new one for a minute (None: never). ``drift`` is the largest departure of the
    estimate from the new true value in the last two minutes, as a ratio.
    """

    quantity: str
    before: float
    after: float
    settled_seconds: float | None
    said_before: float | None
    said_after: float | None
    drift: float | None

    @property
    def should_move(self) -> bool:
        """Whether the truth moved by more than the tolerance."""
        return abs(self.after / self.before - 1) > SETTLED_RATIO


@dataclass(frozen=True, slots=True)
class Change:
    """A change in mid-run and what each estimate made of it; ``experts``: of a mixture of experts."""

    name: str
    what: str
    courses: tuple[Course, ...]
    experts: bool = False

    @property
    def new_rate_error(self) -> float | None:
        """Relative error of μ at the end, where the mix of lengths changed and the hardware did not."""
        if not self.what.startswith(MIX_SHIFT):
            return None
        (rate,) = (c for c in self.courses if c.quantity == "μ")
        return None if rate.said_after is None else rate.said_after / rate.after - 1


def restarts(engines: int) -> Iterator[Restart]:
    """Learn at one load, save, restart at another (or the same), and ask after a minute of scrapes."""
    for engine in design(engines):
        full = keep_full(engine)
        for load in RESTART_LOADS:
            yield _restart(engine, full.rate, max(WARM_SECONDS, full.lifetime_seconds), load)


def _restart(engine: TrueEngine, rate: float, settle: float, load: float) -> Restart:
    learnt = WARM_SECONDS + LEARNING_SECONDS
    again = float(round(learnt + settle))
    until = again + FIRST_ESTIMATE_SECONDS
    segments = [
        Segment(learnt, LEARNT_LOAD * rate, LEARNT_LOAD * rate),
        Segment(until - learnt, load * rate, load * rate),
    ]
    drives = []
    for _ in range(2):
        stream = arrivals(segments, Drawn(engine.pool), seed=engine.index, burstiness=engine.burstiness)
        drives.append(Drive(engine, stream, seed=engine.index))
    saved = drives[0]
    for _ in saved.watch(WARM_SECONDS, learnt):
        pass
    state = orjson.loads(orjson.dumps(saved.watcher.fleet.dump()))[TARGET]
    saved.restart_watcher(state)
    views: list[EngineView] = []
    for drive in drives:
        drive.run(again)
        views.append(list(drive.watch(again + 1, until, refresh_seconds=10))[-1][1])
    return Restart(
        name=engine.name,
        load=load,
        truth=rate,
        rate=views[0].service_rate.value,
        lower=views[0].service_rate.lower,
        upper=views[0].service_rate.upper,
        rate_unsaved=views[1].service_rate.value,
    )


def changes(engines: int) -> Iterator[Change]:
    """Step law × 1.5 on engines of the design, and the mix turned from 2:1 to 1:2 on the same hardware.

    As many mixtures of experts, each of another system, have the latter only.
    """
    dense = design(engines)
    tuned = [engine for engine in moe_design() if not engine.held_out]
    mixtures = list({engine.system: engine for engine in tuned}.values())[:engines]
    for engine in (*dense, *mixtures):
        if engine in dense:
            yield _slower(engine)
        pools = [w.pool(engine.index, engine.settings.max_model_len) for w in WORKLOADS[1:3]]
        yield _other_mix(replace(engine, workload=WORKLOADS[1], pool=pools[0], settings=_uncached(engine)), pools[1])


def _uncached(engine: TrueEngine) -> SchedulerSettings:
    return replace(engine.settings, enable_prefix_caching=False)


def _slower(engine: TrueEngine) -> Change:
    old, new = keep_full(engine), keep_full(engine, factor=LAW_FACTOR)
    arrival_rate = CHANGE_LOAD * new.rate
    # by lengths, which is what "moments" claims: without what a shared prefix saves
    alone = [RequestShape(s.prompt_tokens, s.output_tokens) for s in engine.pool]
    settings = engine.settings
    demand = composition(alone, settings.block_size_tokens, settings.max_num_batched_tokens).memory_token_steps
    stream = arrivals(
        [Segment(WARM_SECONDS + BEFORE_SECONDS + AFTER_SECONDS, arrival_rate, arrival_rate)],
        Drawn(engine.pool),
        seed=engine.index,
    )
    drive = Drive(engine, stream, seed=engine.index)
    truths = {"μ": (old.rate, new.rate), "λ 1m": (arrival_rate, arrival_rate), "E[g]": (demand, demand)}
    return _observe(drive, f"step law × {LAW_FACTOR}", truths, slow_down=True)


def _other_mix(engine: TrueEngine, pool: tuple[RequestShape, ...]) -> Change:
    other = replace(engine, pool=pool, workload=WORKLOADS[2])
    old, new = keep_full(engine), keep_full(other)
    arrival_rate = CHANGE_LOAD * min(old.rate, new.rate)
    before = WARM_SECONDS + BEFORE_SECONDS
    stream = chain(
        arrivals([Segment(before, arrival_rate, arrival_rate)], Drawn(engine.pool), seed=engine.index),
        arrivals(
            [Segment(float(AFTER_SECONDS), arrival_rate, arrival_rate)],
            Drawn(pool),
            seed=engine.index + 1,
            start=before,
        ),
    )
    drive = Drive(engine, stream, seed=engine.index)
    truths = {
        "μ": (old.rate, new.rate),
        "λ 1m": (arrival_rate, arrival_rate),
        "E[g]": (engine.composition.memory_token_steps, other.composition.memory_token_steps),
    }
    return _observe(drive, f"{MIX_SHIFT} 2:1 to 1:2", truths, slow_down=False)


def _observe(drive: Drive, what: str, truths: dict[str, tuple[float, float]], *, slow_down: bool) -> Change:
    """Watch the change; true b̄ is what the engine's steps take in the last two minutes before and after it."""
    change = WARM_SECONDS + BEFORE_SECONDS
    end = change + AFTER_SECONDS
    drive.run(WARM_SECONDS)
    series: list[tuple[float, EngineView]] = []
    marks = dict.fromkeys((change - 120, change, end - 120, end), 0)
    slowed = False
    for at, view in drive.watch(WARM_SECONDS, end, refresh_seconds=_STEP_SECONDS):
        series.append((at, view))
        if at in marks:
            marks[at] = drive.engine.scheduler.steps
        if at >= change and slow_down and not slowed:
            drive.clock.factor, slowed = LAW_FACTOR, True
    steps = [120 / (marks[b] - marks[a]) for a, b in ((change - 120, change), (end - 120, end))]
    rate = truths["λ 1m"][0]
    said: dict[str, list[tuple[float, float | None]]] = {
        "μ": [(at, v.service_rate.value) for at, v in series],
        "λ 1m": [(at, _against_arrived(drive, at, v) * rate) for at, v in series],
        "E[g]": [(at, v.request_demand_token_steps.value.get("moments")) for at, v in series],
        "b̄": [(at, v.step_seconds.value.get("trimmed_mean")) for at, v in series],
    }
    truths = truths | {"b̄": (steps[0], steps[1])}
    courses = tuple(_course(name, truths[name], values, change) for name, values in said.items())
    return Change(drive.true.name, what, courses, experts=drive.true.physics.routing is not None)


def _against_arrived(drive: Drive, at: float, view: EngineView) -> float:
    """λ over the last minute against the requests that did arrive in it."""
    arrived = len(drive.arrived(at - 60, at))
    return view.arrival_rate.value.get("1m", 0.0) * 60 / arrived if arrived else 1.0


def _course(name: str, truth: tuple[float, float], said: list[tuple[float, float | None]], change: float) -> Course:
    before, after = truth
    off = [(at, None if value is None else abs(value / after - 1)) for at, value in said if at > change]
    settled = None
    for at, _ in off:
        following = [error for time, error in off if at <= time <= at + HOLD_SECONDS]
        if len(following) > HOLD_SECONDS // _STEP_SECONDS and all(
            e is not None and e <= SETTLED_RATIO for e in following
        ):
            settled = at - change
            break
    last = [error for at, error in off if at > off[-1][0] - 120 and error is not None]
    return Course(
        quantity=name,
        before=before,
        after=after,
        settled_seconds=settled,
        said_before=next(value for at, value in reversed(said) if at <= change),
        said_after=said[-1][1],
        drift=max(last, default=None),
    )
