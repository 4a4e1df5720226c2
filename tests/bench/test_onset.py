"""The bench of an overload's first minutes: what it says of moments, and that μ and ρ hold on engines of its design."""

from __future__ import annotations

from itertools import islice

import pytest

from bench.accuracy.engines import design
from bench.onset.__main__ import (
    MOST_RATIO,
    MOST_SECONDS,
    OVERLOAD_SECONDS,
    Moment,
    engines,
    onset,
    passes_one_at,
    summary,
)


def moments(*loads: float | None, mu: float = 1.0) -> list[Moment]:
    """One every 5 s from the step on, with this ρ and a μ that is so many times that before."""
    return [Moment(5.0 * place, mu if place else 1.0, load, 100.0) for place, load in enumerate(loads)]


def test_the_load_has_passed_1_when_it_stays_there() -> None:
    """A dip below, or a load that is not known, puts it off; a load that ends below has never passed."""
    assert passes_one_at(moments(0.5, 0.9, 1.2, 1.5)) == 10.0
    assert passes_one_at(moments(0.5, 1.2, 0.9, 1.5)) == 15.0
    assert passes_one_at(moments(0.5, 1.2, None, 1.5)) == 15.0
    assert passes_one_at(moments(0.5, 1.2, 1.3, 0.9)) is None


@pytest.mark.parametrize(
    ("mu", "late", "holds"), [(1.2, 10, True), (1.3, 10, False), (0.7, 10, False), (1.0, 20, False)]
)
def test_an_engine_holds_where_mu_stays_and_the_load_passes_1_in_time(mu: float, late: int, *, holds: bool) -> None:
    """A quarter either way, and 75 s."""
    said = summary(design(1)[0], moments(*[0.5] * late, *[1.5] * 20, mu=mu))
    assert (" yes " in said) == holds


def test_the_engines_are_dense_ones_and_mixtures_of_experts_and_none_comes_twice() -> None:
    """A dozen of different hardware and traffic."""
    found = list(engines(12))
    assert len({engine.name for engine in found}) == 12
    assert sum(engine.physics.routing is not None for engine in found) == 4


@pytest.mark.long
@pytest.mark.parametrize("place", [1, 4, 11])
def test_from_a_step_of_the_load_to_a_steady_overload_mu_stays_and_the_load_passes_1(place: int) -> None:
    """On three engines of the bench that the bench as a whole finds to hold; the others take as long again each."""
    engine = next(islice(engines(12), place, None))
    found = [moment for moment in onset(engine, settings_known=True) if moment.seconds > 0]
    assert found[-1].seconds == OVERLOAD_SECONDS
    rates = [moment.service_rate for moment in found if moment.service_rate is not None]
    assert len(rates) == len(found)
    assert max(abs(rate - 1) for rate in rates) <= MOST_RATIO
    passed = passes_one_at(found)
    assert passed is not None
    assert passed <= MOST_SECONDS
