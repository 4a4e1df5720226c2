"""The first minutes of an overload: what μ and ρ do from a step of the load to twice μ on.

    python -m bench.onset [--engines N] [--unset]

Each engine has half of its load for ten minutes and then twice what it can serve. Its μ is the same throughout; an
estimate that follows the requests that finish first sees only short ones and takes them for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from bench.accuracy.drive import Drive
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.moe_engines import moe_design
from bench.accuracy.saturated import keep_full
from bench.accuracy.snapshot import EPOCH
from bench.accuracy.watcher import Watcher
from bench.accuracy.workloads import Drawn
from kvwatch.embedded.workload import Segment, arrivals
from kvwatch.facts import Settings

CALM_LOAD = 0.5
"""Share of μ that arrives before the step [1]. Choice: half load, where most servers are."""
CALM_SECONDS = 600.0
"""How long it does [s]. Choice: the mix and the step law are known by then."""
OVERLOAD = 2.0
"""Share of μ that arrives after it [1]. Choice: what a lost replica of two does."""
OVERLOAD_SECONDS = 300.0
"""How long it does [s]. Choice: several lives of most requests."""
MOST_SECONDS = 75.0
"""Time in which ρ over a minute must have passed 1 for good [s]. Choice: a minute and a few scrapes."""
MOST_RATIO = 0.25
"""How far μ may leave its value before the step [1]. Choice: an operator would not call it another server."""
_WARM_SECONDS = 60.0
"""Time before anything is watched [s]. Choice: a few lives of most requests."""
_EVERY_SECONDS = 5
"""Time between two views [s]. Choice: a view costs milliseconds."""
_REFRESH_SECONDS = 30
"""Time between two runs of the embedded engine [s]. Definition: as a replay makes them."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was said so many seconds after the step; ``service_rate`` over the one before it."""

    seconds: float
    service_rate: float | None
    utilization: float | None
    demand: float | None


def onset(engine: TrueEngine, *, settings_known: bool) -> list[Moment]:
    """Put one engine through it."""
    full = keep_full(engine)
    warm = _WARM_SECONDS
    segments = [
        Segment(warm + CALM_SECONDS, CALM_LOAD * full.rate, CALM_LOAD * full.rate),
        Segment(OVERLOAD_SECONDS, OVERLOAD * full.rate, OVERLOAD * full.rate),
    ]
    stream = arrivals(segments, Drawn(engine.pool), seed=engine.index, burstiness=engine.burstiness)
    drive = Drive(engine, stream, seed=engine.index)
    if not settings_known:
        drive.watcher = Watcher(Settings())
    drive.run(warm)
    step = warm + CALM_SECONDS
    before: float | None = None
    moments: list[Moment] = []
    for second in range(int(CALM_SECONDS + OVERLOAD_SECONDS) + 1):
        at = warm + second
        drive.scrape(at)
        if second % _REFRESH_SECONDS == 0:
            drive.watcher.refresh(EPOCH + at)
        if at < step - 30 or second % _EVERY_SECONDS:
            continue
        view = drive.watcher.view(EPOCH + at)
        mu = view.service_rate.value
        if at <= step:
            before = mu or before
        demand = view.request_demand_token_steps.value
        ratio = mu / before if mu and before else None
        selected = demand.get(next(iter(view.demand_selected), ""))
        moments.append(Moment(at - step, ratio, view.utilization.value.get("1m"), selected))
    return moments


def summary(engine: TrueEngine, moments: list[Moment]) -> str:
    """One line: how far μ and E[g] went from before, and when ρ had passed 1 for good."""
    after = [m for m in moments if m.seconds > 0]
    rates = [m.service_rate for m in after if m.service_rate is not None]
    before = next((m.demand for m in reversed(moments) if m.seconds <= 0 and m.demand), 1.0)
    demands = [m.demand / before for m in after if m.demand is not None]
    passed = passes_one_at(after)
    holds = bool(rates) and max(abs(rate - 1) for rate in rates) <= MOST_RATIO
    holds = holds and passed is not None and passed <= MOST_SECONDS
    return (
        f"{engine.name:50} {'yes' if holds else 'no ':3} mu {min(rates):.2f} to {max(rates):.2f},"
        f" E[g] {min(demands):.2f} to {max(demands):.2f}, rho above 1 from {passed} s"
    )


def passes_one_at(after: list[Moment]) -> float | None:
    """Seconds after which ρ over a minute stays above 1."""
    last_below = max((i for i, m in enumerate(after) if (m.utilization or 0.0) <= 1), default=-1)
    return after[last_below + 1].seconds if last_below + 1 < len(after) else None


def engines(count: int) -> Iterator[TrueEngine]:
    """Dense engines and mixtures of experts in turns, of different hardware and traffic."""
    dense = design(66)
    moe = list(moe_design())
    for i in range(count):
        yield dense[(i * 5) % len(dense)] if i % 3 else moe[(i * 7) % len(moe)]


def main() -> None:
    """Print a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, default=12)
    parser.add_argument("--unset", action="store_true", help="without the settings")
    args = parser.parse_args()
    for engine in engines(args.engines):
        print(summary(engine, onset(engine, settings_known=not args.unset)), flush=True)


if __name__ == "__main__":
    main()
