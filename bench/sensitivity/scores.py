"""How good a set of answers is, and how far it is from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.sensitivity.replayed import Answer, Case, service_rate, utilization_lower

HALF_LOAD = 0.5
"""Load up to which a page is false, and from which on μ is judged [1]."""
PAGE_UTILIZATION = 0.8
"""ρ whose lower end above this pages [1]; as the alert rules have it."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of all marks of all cases.

    Attributes:
        median_error: Of |μ/true μ − 1| at half load and more.
        worst_error: The largest of those.
        covered_ratio: Share of all intervals that hold the truth.
        false_pages: Marks at half load or less where ρ's lower end is above 0.8.
        absent: Marks without a μ.
    """

    median_error: float
    worst_error: float
    covered_ratio: float
    false_pages: int
    absent: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Of the answers of a variant from those of the estimator as it is.

    Attributes:
        rate_ratio: Largest relative change of μ.
        interval_ratio: Largest relative change of an end of its interval.
        fields: Names of the metrics that changed at all, without their labels.
    """

    rate_ratio: float
    interval_ratio: float
    fields: tuple[str, ...]


def score(cases: Sequence[Case], answers: Sequence[Sequence[Answer]]) -> Score:
    """Of the answers to all cases."""
    errors, covered, false_pages, absent = [], [], 0, 0
    for case, said in zip(cases, answers, strict=True):
        for mark, answer in zip(case.marks, said, strict=True):
            value, lower, upper = service_rate(answer)
            if value is None or lower is None or upper is None:
                absent += 1
                continue
            if mark.load >= HALF_LOAD:
                errors.append(abs(value / mark.truth - 1))
            covered.append(lower <= mark.truth <= upper)
            false_pages += mark.load <= HALF_LOAD and any(rho > PAGE_UTILIZATION for rho in utilization_lower(answer))
    nothing = float("nan")
    return Score(
        median(errors) if errors else nothing,
        max(errors, default=nothing),
        sum(covered) / len(covered) if covered else nothing,
        false_pages,
        absent,
    )


def difference(before: Sequence[Sequence[Answer]], after: Sequence[Sequence[Answer]]) -> Difference:
    """How far two sets of answers are apart."""
    rate = interval = 0.0
    changed: set[str] = set()
    for a, b in ((x, y) for one, other in zip(before, after, strict=True) for x, y in zip(one, other, strict=True)):
        (rate_a, *ends_a), (rate_b, *ends_b) = service_rate(a), service_rate(b)
        rate = max(rate, _apart(rate_a, rate_b))
        interval = max(interval, *map(_apart, ends_a, ends_b))
        changed.update(path.split(".")[0] for path in a.keys() | b.keys() if a.get(path) != b.get(path))
    return Difference(rate, interval, tuple(sorted(changed)))


def _apart(a: float | None, b: float | None) -> float:
    """Relative change; 1 where one of them is missing."""
    if a is None or b is None:
        return float((a is None) != (b is None))
    return abs(b / a - 1)
