"""Errors, coverage and the rest over many cases, and the bounds they are held to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cases import Outcome
from bench.accuracy.recordings import PhaseOutcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim, what was measured, and whether it holds."""

    claim: str
    measured: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that have something in common. Errors and effects are ratios; effects are mean logarithms."""

    name: str
    cases: int
    absent: int
    mean_error: float
    median: float
    p95: float
    coverage: float
    limit_right: float
    half_width: float
    law: float
    scheduler: float
    lengths: float


def group(name: str, outcomes: Sequence[Outcome]) -> Group:
    """Figures over those cases that have an estimate."""
    known = [o for o in outcomes if o.error is not None]
    errors = np.array([o.error for o in known], dtype=float)
    return Group(
        name=name,
        cases=len(outcomes),
        absent=len(outcomes) - len(known),
        mean_error=_mean(errors),
        median=_quantile(np.abs(errors), 0.5),
        p95=_quantile(np.abs(errors), 0.95),
        coverage=_mean([bool(o.covered) for o in known]),
        limit_right=_mean([bool(o.limit_right) for o in known]),
        half_width=_quantile([o.half_width for o in known if o.half_width is not None], 0.5),
        law=_mean([o.law_effect for o in known if o.law_effect is not None]),
        scheduler=_mean([o.scheduler_effect for o in known if o.scheduler_effect is not None]),
        lengths=_mean([o.lengths_effect for o in known if o.lengths_effect is not None]),
    )


def groups_by(outcomes: Iterable[Outcome], key: Callable[[Outcome], str]) -> list[Group]:
    """One group for each value of ``key``, in order of the values."""
    by_value: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_value[key(outcome)].append(outcome)
    return [group(name, members) for name, members in sorted(by_value.items())]


def judge_sweep(outcomes: Sequence[Outcome]) -> list[Verdict]:
    """The bounds on simulated engines."""
    stated = [o for o in outcomes if 0.25 <= o.load <= 0.95]
    everything = group("all", stated)
    busy = [o.half_width for o in outcomes if o.load >= 0.5 and o.half_width is not None]
    quiet = [o for o in outcomes if o.load <= 0.5]
    pages = [o for o in quiet if o.highest_utilization_lower >= 0.85]
    pool = [o.pool_error for o in stated if o.pool_error is not None]
    pool_coverage = _mean([bool(o.pool_covered) for o in stated if o.pool_covered is not None])
    return [
        Verdict(
            "every case has an estimate", f"{everything.absent} of {everything.cases} without", not everything.absent
        ),
        Verdict("median error ≤ 3%", f"{everything.median:.1%}", everything.median <= 0.03),
        Verdict("95th percentile of the error ≤ 10%", f"{everything.p95:.1%}", everything.p95 <= 0.10),
        Verdict(
            "the 90% interval covers 85–97%",
            f"{everything.coverage:.0%} (the whole pool's rate: {pool_coverage:.0%})",
            0.85 <= everything.coverage <= 0.97,
        ),
        Verdict("the binding limit is right in ≥ 95%", f"{everything.limit_right:.0%}", everything.limit_right >= 0.95),
        Verdict(
            "at load ≤ 0.5 the lower bound of ρ stays below 0.85",
            f"{len(pages)} of {len(quiet)} cases above it at some time",
            not pages,
        ),
        Verdict(
            "at load ≥ 0.5 no interval is wider than ±35%",
            f"widest ±{max(busy, default=0.0):.0%}, median ±{_quantile(busy, 0.5):.0%}",
            max(busy, default=0.0) <= 0.35,
        ),
        Verdict(
            "(for comparison) error against the rate for the whole pool",
            f"median {_quantile(np.abs(pool), 0.5):.1%}, 95th percentile {_quantile(np.abs(pool), 0.95):.1%}",
            holds=True,
        ),
    ]


def judge_recordings(outcomes: Sequence[PhaseOutcome]) -> list[Verdict]:
    """The bounds on recordings, without the saturated phase before."""
    const = [o for o in outcomes if o.kind == "const" and not o.whole]
    verdicts = []
    for claim, chosen, median, worst in (
        ("loads ≥ 0.5", [o for o in const if o.load >= 0.5], 0.07, 0.16),
        ("load 0.25", [o for o in const if 0.2 <= o.load < 0.5], 0.12, 0.28),
    ):
        errors = [abs(o.error) for o in chosen if o.error is not None]
        if not chosen:
            continue
        middle, most = _quantile(errors, 0.5), max(errors, default=float("nan"))
        absent = len(chosen) - len(errors)
        shown = f"median {middle:.1%}, worst {most:.1%}" + (f", {absent} absent" if absent else "")
        holds = not absent and middle <= median and most <= worst
        verdicts.append(Verdict(f"{claim}: median ≤ {median:.0%}, worst ≤ {worst:.0%}", shown, holds))
    covered = [o.covered for o in const if o.covered is not None]
    verdicts.append(Verdict("the 90% interval covers the truth", f"{sum(covered)} of {len(covered)}", all(covered)))
    named = [o.limit in o.true_limits for o in const]
    verdicts.append(Verdict("the binding limit is right", f"{sum(named)} of {len(named)}", all(named)))
    return verdicts


def worst(outcomes: Sequence[Outcome], count: int) -> list[Outcome]:
    """The cases with the largest errors."""
    return sorted((o for o in outcomes if o.error is not None), key=lambda o: -abs(o.error or 0.0))[:count]


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else float("nan")


def _quantile(values: Iterable[float], share: float) -> float:
    numbers = list(values)
    return float(np.quantile(numbers, share)) if numbers else float("nan")
