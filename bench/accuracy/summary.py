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


@dataclass(frozen=True, slots=True)
class Bound:
    """What is promised of |μ error| at some loads, under the model's name or under an alias."""

    loads: str
    least_load: float
    largest_load: float
    median: float
    p95: float


_DENSE = (Bound("≥ 0.25", 0.25, 0.95, 0.03, 0.14),)
_MOE_KNOWN = (Bound("≥ 0.5", 0.5, 0.95, 0.06, 0.18), Bound("0.25", 0.25, 0.25, 0.12, 0.30))
_MOE_ALIAS = (Bound("≥ 0.5", 0.5, 0.95, 0.09, 0.30), Bound("0.25", 0.25, 0.25, 0.18, 0.45))
BOUNDS = {
    ("dense", True): _DENSE,
    ("dense", False): _DENSE,
    ("bases", True): _DENSE,
    ("bases", False): _DENSE,
    ("moe", True): _MOE_KNOWN,
    ("moe", False): _MOE_ALIAS,
}
"""By design, and whether the model's name is known."""
NAMES = {True: "the model's name known", False: "under an alias"}
_COVERAGE = (0.85, 0.97)
"""Share of the truths that 90% intervals should hold, at each load. [choice]"""
_FALSE_PAGE = 0.8
"""The lower bound of ρ that no engine at half load may reach. [choice: the pages' own threshold is above it]"""


def judge_design(design: str, outcomes: Sequence[Outcome]) -> list[Verdict]:
    """The bounds on simulated engines, under each kind of name that was tried."""
    verdicts = []
    for known, words in NAMES.items():
        named = [o for o in outcomes if o.name_known == known]
        if named:
            verdicts += _judge_named(design, words, named, BOUNDS[design, known])
    limits = group("all", [o for o in outcomes if o.load >= 0.25])
    absent = sum(o.rate is None for o in outcomes)
    return [
        Verdict("every case has an estimate", f"{absent} of {len(outcomes)} without", not absent),
        *verdicts,
        Verdict("the binding limit is right in ≥ 95%", f"{limits.limit_right:.0%}", limits.limit_right >= 0.95),
    ]


def _judge_named(design: str, words: str, outcomes: Sequence[Outcome], bounds: Sequence[Bound]) -> list[Verdict]:
    verdicts = []
    for bound in bounds:
        found = group("", [o for o in outcomes if bound.least_load <= o.load <= bound.largest_load])
        verdicts.append(
            Verdict(
                f"{words}, loads {bound.loads}: median ≤ {bound.median:.0%}, 95th percentile ≤ {bound.p95:.0%}",
                f"{found.median:.1%}, {found.p95:.1%}",
                found.median <= bound.median and found.p95 <= bound.p95,
            )
        )
    low, high = _COVERAGE
    by_load = groups_by(outcomes, lambda o: f"{o.load:.2f}")
    verdicts.append(
        Verdict(
            f"{words}: the 90% interval covers {low:.0%} to {high:.0%} at each load",
            ", ".join(f"{g.name}: {g.coverage:.0%}" for g in by_load),
            all(low <= g.coverage <= high for g in by_load),
        )
    )
    quiet = [o for o in outcomes if o.load <= 0.5]
    pages = sum(o.highest_utilization_lower > _FALSE_PAGE for o in quiet)
    verdicts.append(
        Verdict(
            f"{words}: at loads ≤ 0.5 the lower bound of ρ stays below {_FALSE_PAGE}",
            f"{pages} of {len(quiet)} cases above it at some time",
            not pages,
        )
    )
    return verdicts


def false_page(outcome: Outcome) -> bool:
    """Whether an engine at half load or less was thought to be nearly full at some time."""
    return outcome.load <= 0.5 and outcome.highest_utilization_lower > _FALSE_PAGE


_DENSE_RECORDINGS = (("loads ≥ 0.5", 0.5, 1.0, 0.07, 0.16), ("load 0.25", 0.2, 0.5, 0.12, 0.28))
_MOE_RECORDINGS = (("loads ≥ 0.5", 0.5, 1.0, 0.10, 0.10), ("load 0.25", 0.2, 0.5, 0.20, 0.20))
"""Loads from and below which, and the bounds on median and worst |μ error|. [choice]"""


def judge_recordings(outcomes: Sequence[PhaseOutcome]) -> list[Verdict]:
    """The bounds on recordings, without the saturated phase before."""
    const = [o for o in outcomes if o.kind == "const" and not o.whole]
    verdicts = []
    for words, chosen, bounds in (
        ("dense", [o for o in const if not o.experts], _DENSE_RECORDINGS),
        ("mixture of experts", [o for o in const if o.experts], _MOE_RECORDINGS),
    ):
        for claim, low, high, median, most in bounds:
            verdicts += _judge_loads(f"{words}, {claim}", [o for o in chosen if low <= o.load < high], median, most)
    covered = [o.covered for o in const if o.covered is not None]
    enough = sum(covered) >= _COVERAGE[0] * len(covered)
    verdicts.append(
        Verdict(
            f"the 90% interval covers the truth in {_COVERAGE[0]:.0%} or more",
            f"{sum(covered)} of {len(covered)}",
            enough,
        )
    )
    named = [o.limit in o.true_limits for o in const]
    verdicts.append(Verdict("the binding limit is right", f"{sum(named)} of {len(named)}", all(named)))
    return verdicts


def _judge_loads(claim: str, chosen: Sequence[PhaseOutcome], median: float, worst: float) -> list[Verdict]:
    errors = [abs(o.error) for o in chosen if o.error is not None]
    if not chosen:
        return []
    middle, most = _quantile(errors, 0.5), max(errors, default=float("nan"))
    absent = len(chosen) - len(errors)
    shown = f"median {middle:.1%}, worst {most:.1%}" + (f", {absent} absent" if absent else "")
    holds = not absent and middle <= median and most <= worst
    return [Verdict(f"{claim}: median ≤ {median:.0%}, worst ≤ {worst:.0%}", shown, holds)]


def worst(outcomes: Sequence[Outcome], count: int) -> list[Outcome]:
    """The cases with the largest errors."""
    return sorted((o for o in outcomes if o.error is not None), key=lambda o: -abs(o.error or 0.0))[:count]


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else float("nan")


def _quantile(values: Iterable[float], share: float) -> float:
    numbers = list(values)
    return float(np.quantile(numbers, share)) if numbers else float("nan")
