"""Scenes for the page: fleets whose last hour is made up, but whose numbers belong together.

    python -m tests.page.stage overloaded --port 9719

serves one for a look at it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache

from kvwatch.core.engine_signs import one_state, state_fields
from kvwatch.core.engine_state import EngineState
from kvwatch.estimate import UNKNOWN, Estimate, KeyedEstimate, Reason
from kvwatch.export.exposition import Exposition
from kvwatch.facts import SettingSource
from kvwatch.page.live import LivePage
from kvwatch.shell.web.pages import Pages
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import EngineView, FleetView, ModelView, SettingView, TargetView

END = 1_750_003_600.0
"""When all scenes are looked at [unix s]."""
SPAN_SECONDS = 3600.0
MU = 17.5
AHEAD_SECONDS = 780.0
"""From the middle of the window of a mean to when a replica that is asked for now serves, as the core counts."""
SEATS = 256
"""``max_num_seqs`` of each engine: so many that KV memory is full long before them."""
FITTING = 44.0
"""Requests that its KV memory holds at once; with more seats than that it evicts."""
LOSS, EVICTIONS = 0.09, 0.31
"""Share of the throughput that an engine in need of advice loses, and its evictions for each finished request."""
FULL_STEP_SECONDS = 0.086
PROMPT_TOKENS, OUTPUT_TOKENS = 2800.0, 300.0
"""Of a mean request."""
ADVICE = (
    f"{EVICTIONS} evictions for each finished request cost about {LOSS:.0%} of the throughput.",
    f"Restart it with --max-num-seqs 37 (now {SEATS}): about +19% throughput at full load, at least +12% at 90%"
    " confidence, for the traffic as it is now.",
)
Load = Callable[[float], float]


@dataclass(frozen=True)
class Course:
    """An engine over an hour: its load as a function of the time before the end in seconds, and what it is called."""

    load: Load
    model_name: str = "llama-3-70b"
    target: str = "10.0.0.7:8000"
    slope: float = 0.0
    advised: bool = False
    seed: int = 0
    other: Callable[[EngineView, float], EngineView | None] | None = None
    """What becomes of its view at a time before the end, beyond what the load does; None while it is not there."""

    def waiting(self, ago: float) -> float:
        """The queue that the load has made up to then."""
        return _queue(self.load)[int(SPAN_SECONDS - ago) // 15]

    def view(self, ago: float) -> EngineView | None:
        """All that is known at a time."""
        view: EngineView | None = self._loaded(ago)
        if view is not None and self.other is not None:
            view = self.other(view, ago)
        if view is None or view.engine_state:
            return view
        state, drain = state_fields(view)
        return replace(view, engine_state=state, backlog_drain_seconds=drain)

    def _loaded(self, ago: float) -> EngineView:
        """All that is estimated of it under its load."""
        noise = random.Random(self.seed * 1_000_003 + int(ago))
        rho = max(self.load(ago) * noise.gauss(1, 0.03), 0.0)
        waiting, sustained = self.waiting(ago), self.load(ago + 120)
        growth = MU * (rho - 1.0) if waiting else 0.0
        running = FITTING * min(rho, 1.0) ** 1.2 if not waiting else FITTING
        seconds = min(0.05 + 0.03 * rho, FULL_STEP_SECONDS)
        to_limit = (1.0 - rho) * MU / self.slope if self.slope > 0 else None
        return EngineView(
            self.target,
            self.model_name,
            "0",
            arrival_rate=KeyedEstimate({"1m": rho * MU, "5m": sustained * MU}),
            arrival_rate_slope=Estimate(self.slope, 0.7 * self.slope, 1.3 * self.slope) if self.slope else UNKNOWN,
            service_rate=Estimate(MU, MU * 0.95, MU * 1.05, Reason.OK),
            service_rate_limit={"kv": MU, "seqs": MU * 1.7, "tokens": MU * 2.1},
            binding_limit={"kv": 1.0},
            utilization=KeyedEstimate(
                {"1m": rho, "5m": sustained},
                {"1m": rho * 0.93, "5m": sustained * 0.95},
                {"1m": rho * 1.07, "5m": sustained * 1.05},
            ),
            stable_limit=Estimate(0.9, verdict=Reason.DELTA_IS_BOUND),
            step_seconds=KeyedEstimate({"trimmed_mean": seconds, "saturated": FULL_STEP_SECONDS}),
            kv_capacity_tokens=Estimate(131_072.0, verdict=Reason.OK),
            kv_usage_ratio=min(0.95 * rho**1.1, 0.99) if not waiting else 0.99,
            running_requests=float(round(running)),
            queue_length=float(round(waiting)),
            token_rate={"prompt": PROMPT_TOKENS * min(rho, 1.0) * MU, "output": OUTPUT_TOKENS * min(rho, 1.0) * MU},
            queue_slope=Estimate(growth, growth - 0.1 * MU, growth + 0.1 * MU),
            time_to_saturation_seconds=to_limit,
            observed_service_rate=MU * noise.gauss(1.0, 0.02) if waiting else None,
            congestion_loss_ratio=LOSS if self.advised and waiting else 0.0,
            preemptions_per_request=EVICTIONS if self.advised and waiting else 0.0,
            settings={"max_num_seqs": SettingView(SEATS, SettingSource.PROCESS)},
            recommended_max_num_seqs=Estimate(37.0) if self.advised else UNKNOWN,
            recommended_gain_ratio=Estimate(0.19, 0.12) if self.advised else UNKNOWN,
            observed_latency_seconds={
                "ttft/0.5": 0.12 + waiting / MU,
                "ttft/0.95": 0.35 + 1.2 * waiting / MU,
                "itl/0.5": seconds,
                "itl/0.95": 1.8 * seconds,
            }
            if rho
            else {},
            advice=ADVICE if self.advised else (),
            scale_up_seconds=600.0,
            target_utilization=0.8,
            engine_age_seconds=7200.0 - ago,
        )


@cache
def _queue(load: Load) -> list[float]:
    """The queue at each 15 s of the hour, by flow balance."""
    queue = [0.0]
    for ago in range(int(SPAN_SECONDS), 0, -15):
        queue.append(max(queue[-1] + 15 * MU * (load(ago) - 1.0), 0.0))
    return queue


def quiet(ago: float) -> float:
    """A steady half load."""
    return 0.5 + 0.05 * math.sin(ago / 400)


def rising(ago: float) -> float:
    """From a third to close below the limit over half an hour."""
    return 0.35 + 0.42 * max(1.0 - ago / 1800, 0.0)


def flooded(ago: float) -> float:
    """An overload that began ten minutes ago."""
    return 0.45 if ago > 600 else min(0.45 + (600 - ago) / 100, 1.3)


def full(ago: float) -> float:
    """At the limit for four minutes, and no more."""
    return 0.7 if ago > 360 else 1.015


def over(ago: float) -> float:
    """An overload that ended a minute and a half ago."""
    return 0.5 if ago > 900 else 1.25 if ago > 90 else 0.2


def fleet_at(courses: Iterable[Course], ago: float, broken: tuple[TargetView, ...] = ()) -> FleetView:
    """The view of a fleet at a time before the end."""
    engines = [view for course in courses if (view := course.view(ago)) is not None]
    names = sorted({engine.model_name for engine in engines})
    models = tuple(_model(name, [engine for engine in engines if engine.model_name == name]) for name in names)
    targets = tuple(map(_target, engines))
    return FleetView(END - ago, targets + broken, models)


def _target(engine: EngineView) -> TargetView:
    """The server of an engine; one that hangs answers and shows no estimates."""
    if engine.engine_state[EngineState.HUNG]:
        problem = "no counter has moved for a minute"
        return TargetView(engine.target, False, 0.3, 0.01, problem=problem, hung=(engine,))
    return TargetView(engine.target, True, 0.4, 0.01, (engine,))


def _model(name: str, engines: list[EngineView]) -> ModelView:
    """The replicas of a model: those there are, and those that its load needs."""
    loads = [engine.utilization.value.get("1m") for engine in engines]
    if None in loads:
        return ModelView(name)
    load = sum(load or 0.0 for load in loads)
    rises = sum(engine.arrival_rate_slope.value or 0.0 for engine in engines) / MU
    needed = float(math.ceil(load / 0.8))
    required = float(math.ceil((load + rises * AHEAD_SECONDS) / 0.8))
    added = {"trend": required - needed} if required > needed else {}
    replicas = float(len(engines))
    return ModelView(name, "", required, replicas, added, model_utilization=load / replicas)


OTHERS = (
    Course(quiet, "qwen-3-32b", "10.0.0.9:8000", seed=1),
    Course(lambda _ago: 0.0, "bge-reranker", "10.0.0.12:8000", seed=2),
)
DOWN = TargetView("10.0.0.21:8000", False, None, None, (), "connection: refused")


def hangs(view: EngineView, ago: float) -> EngineView:
    """For the last four minutes nothing has moved."""
    if ago > 240:
        return view
    return EngineView(view.target, view.model_name, view.engine, engine_state=one_state(EngineState.HUNG))


def starts(view: EngineView, ago: float) -> EngineView | None:
    """It was found 20 s ago."""
    if ago > 20:
        return None
    early = KeyedEstimate(verdict=Reason.WARMING_UP, verdicts=dict.fromkeys(("1m", "5m"), Reason.WARMING_UP))
    return EngineView(
        view.target,
        view.model_name,
        view.engine,
        arrival_rate=early,
        service_rate=Estimate(verdict=Reason.NO_BUSY_INTERVALS),
        utilization=early,
        running_requests=7.0,
        queue_length=0.0,
        kv_usage_ratio=0.06,
        engine_age_seconds=20.0,
    )


def loses_a_metric(view: EngineView, ago: float) -> EngineView:
    """For ten minutes what finishes is not shown any more."""
    if ago > 600:
        return view
    missing = KeyedEstimate(verdict=Reason.METRIC_MISSING)
    return replace(view, arrival_rate=missing, utilization=missing, arrival_rate_slope=UNKNOWN)


def evicts(view: EngineView, ago: float) -> EngineView:
    """For ten minutes it throws out work, and no other number of seats is known to help."""
    return view if ago > 600 else replace(view, congestion_loss_ratio=0.09, preemptions_per_request=0.6)


def stands(view: EngineView, ago: float) -> EngineView:
    """For four minutes requests wait that nobody serves."""
    if ago > 240:
        return view
    missing = Estimate(verdict=Reason.QUEUE_STANDS)
    return replace(
        view,
        service_rate=missing,
        utilization=KeyedEstimate(verdict=Reason.QUEUE_STANDS),
        queue_length=40.0,
        queue_standing_seconds=240.0 - ago,
    )


def _level(level: float) -> Load:
    """About so much load all the time."""
    return lambda ago: level + 0.02 * math.sin(ago)


def _crowd() -> tuple[Course, ...]:
    """Two hundred engines of eight models, one of them overloaded and some near their limit."""
    found = []
    for number in range(200):
        slope = 0.0
        load = _level(0.25 + 0.5 * ((number * 37) % 100) / 100)
        if number == 57:
            load = flooded
        elif number % 40 == 3:
            load, slope = rising, 0.008
        found.append(Course(load, f"model-{number % 8}", f"10.0.{number // 50}.{number % 50}:8000", slope, seed=number))
    return tuple(found)


SCENES: dict[str, tuple[tuple[Course, ...], tuple[TargetView, ...]]] = {
    "quiet": ((Course(quiet), *OTHERS), ()),
    "approaching": ((Course(rising, slope=0.008), *OTHERS), ()),
    "overloaded": ((Course(flooded, advised=True), *OTHERS), ()),
    "draining": ((Course(over), *OTHERS), ()),
    "saturated": ((Course(full), *OTHERS), ()),
    "evicting": ((Course(_level(0.9), other=evicts), *OTHERS), ()),
    "standing": ((Course(quiet, other=stands), *OTHERS), ()),
    "hung": ((Course(quiet, other=hangs), *OTHERS), ()),
    "unknown": ((Course(quiet, other=loses_a_metric), *OTHERS), ()),
    "warming_up": ((Course(quiet, other=starts),), ()),
    "idle": ((Course(lambda _ago: 0.0),), ()),
    "out of sight": (OTHERS, (DOWN,)),
    "one": ((Course(flooded, advised=True),), ()),
    "none": ((), (DOWN,)),
    "waiting": ((), ()),
    "many": (_crowd(), (DOWN,)),
}


@asynccontextmanager
async def on_stage(scene: str, port: int = 0, step_seconds: float = 15.0) -> AsyncIterator[HttpServer]:
    """The page of a scene on a real server; its hour is over, and each view is that of the end at a later time."""
    courses, broken = SCENES[scene]
    at = [SPAN_SECONDS]
    live = LivePage(lambda: fleet_at(courses, at[0], broken), ("KvwatchOverloaded", "KvwatchEstimateInvalid"))
    if len(courses) > 50:
        at[0], step_seconds = 1800.0, 45.0
    while at[0] > 0 and courses:
        live.look()
        at[0] -= step_seconds
    at[0] = 0.0
    view = fleet_at(courses, 0.0, broken)
    pages = Pages(Exposition(lambda: view), lambda: view, lambda: True)
    server = HttpServer([*pages.routes(), *live.routes()], Listen("127.0.0.1", port))
    await server.start()
    keeping = asyncio.create_task(live.keep())
    try:
        yield server
    finally:
        keeping.cancel()
        await live.close()
        await server.stop()


async def _serve(scene: str, port: int) -> None:
    async with on_stage(scene, port) as server:
        print(f"http://127.0.0.1:{server.port}/")
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--port", type=int, default=9719)
    args = parser.parse_args()
    asyncio.run(_serve(args.scene, args.port))
