"""A variant of kvwatch differs in one constant, wherever that is used, and what reads a constant is seen."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import pytest

from bench.sensitivity import patched, report
from bench.sensitivity.__main__ import apart
from bench.sensitivity.patched import Scaled, Touches, scaled
from bench.sensitivity.replayed import Case, Mark
from bench.sensitivity.results import rows
from bench.sensitivity.scores import difference, score
from kvwatch.facts import Settings


def test_numbers_are_scaled_and_stay_of_their_kind() -> None:
    """Whole ones stay whole and at least one; in tuples and arrays each is scaled."""
    assert scaled(3, 0.5) == 2
    assert scaled(1, 0.5) == 1
    assert scaled((1.0, (2.0, 8)), 2.0) == (2.0, (4.0, 16))
    assert np.array_equal(scaled(np.array([1.0, 3.0]), 0.5), [0.5, 1.5])  # type: ignore[arg-type]


def test_a_scaled_constant_is_so_in_what_follows_from_it_and_only_in_the_variant() -> None:
    """The growth above which waves grow is one over that below which they die."""

    def unstable_above() -> object:
        from kvwatch.queueing.congestion import stability  # noqa: PLC0415 (the variant's)

        return stability.UNSTABLE_ABOVE

    usual = unstable_above()
    assert apart(unstable_above, Scaled("kvwatch.queueing.congestion.stability", "STABLE_BELOW", 0.5)) == pytest.approx(
        2 * usual  # type: ignore[operator]
    )
    assert unstable_above() == usual


def test_an_imported_constant_is_seen_to_be_read_and_an_unread_one_is_not() -> None:
    """Dispersion reads the quantile of the normal law; nothing here reads that of a 90% interval."""

    def read() -> object:
        from kvwatch.stats.dispersion import index_of_dispersion  # noqa: PLC0415 (the variant's)

        index_of_dispersion([3, 4, 1, 5, 9, 2])
        return patched.touched

    touched = apart(read, Touches())
    assert ("kvwatch.stats.normal", "MEDIAN_OF_ABSOLUTE_NORMAL") in touched  # type: ignore[operator]
    assert ("kvwatch.stats.normal", "Z90") not in touched  # type: ignore[operator]


def test_a_variant_that_fails_says_how() -> None:
    """What it raises is its result."""

    def fails() -> object:
        raise ValueError("no such law")

    assert apart(fails, None) == "ValueError: no such law"


def test_scores_are_of_the_marks_they_are_for() -> None:
    """Errors count from half load on, pages up to half load, intervals everywhere; a missing μ is counted apart."""
    case = Case(
        "group", "case", Settings(), [], [Mark(1, 0.25, 10.0), Mark(2, 0.5, 10.0), Mark(3, 0.75, 10.0), Mark(4, 1, 1.0)]
    )

    def said(rate: float, lower: float, upper: float, rho: float) -> dict[str, float | str | None]:
        return {
            "service_rate.value": rate,
            "service_rate.lower": lower,
            "service_rate.upper": upper,
            "utilization.lower.1m": rho,
        }

    usual = [said(5, 4, 6, 0.9), said(11, 9, 12, 0.5), said(8, 7, 11, 0.9), {}]
    got = score([case], [usual])
    assert (got.median_error, got.worst_error) == (pytest.approx(0.15), pytest.approx(0.2))
    assert got.covered_ratio == pytest.approx(2 / 3)
    assert (got.false_pages, got.absent) == (1, 1)
    moved = [*usual[:2], said(8.8, 7, 11, 0.9), {}]
    assert difference([usual], [moved]).rate_ratio == pytest.approx(0.1)
    assert difference([usual], [moved]).fields == ("service_rate",)
    assert difference([usual], [usual]).fields == ()


def test_each_constant_that_moves_nothing_has_its_reason() -> None:
    """What moves nothing on the recordings either matters elsewhere or is deleted; a reason goes with its constants."""
    reasons = report.kept()
    names = [f"{row['module'].removeprefix('kvwatch.')}.{row['name']}" for row in report.without_effect(rows())]
    assert len(names) > 100
    assert [name for name in names if report.reason(name, reasons) is None] == []
    patterns = [pattern for of in reasons.values() for pattern in of]
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)] == []
    assert all(any(report.reason(name, reasons) == why for name in names) for why in reasons)
