"""Latency for the load of now, the load that a target allows, and how many may wait: of a curve that is known."""

from __future__ import annotations

from math import exp

import pytest

from kvwatch.core.latency.curve import Curve, burstiness
from kvwatch.core.latency.latency_seconds import LATENCY_DEVIATION, latency_residual_ratio, latency_seconds
from kvwatch.core.latency.queue_bound import queue_bound
from kvwatch.core.latency.slo import sized_utilization, slo_service_rate, slo_utilization
from kvwatch.embedded.latency_curve import Point, Slo
from kvwatch.embedded.saturation import Saturation
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.stats.normal import Z90

FULL = Saturation(10.0, 32.5, 32.0, 10.0, 0.5, 5e3, 0.02, 0.0, 0.0, 40.0, 32.0, 100.0, 100, 1000, 20.0)
CURVE = Curve(
    tuple(
        Point(load, (wait / 4, wait, 2 * wait), (wait / 4 + 0.1, wait + 0.2, 2 * wait + 0.3), (0.02, 0.03, 0.04), 20.0)
        for load, wait in ((0.5, 0.1), (0.75, 0.2), (0.9, 0.5), (0.95, 1.0))
    ),
    FULL,
    mean_prompt_tokens=300.0,
)
MU = Estimate(10.0, 9.0, 11.0, Reason.OK)
OFF = exp(Z90 * LATENCY_DEVIATION)


def rho(value: float, lower: float, upper: float) -> KeyedEstimate:
    """ρ over a minute, and another one over five."""
    return KeyedEstimate({"1m": value, "5m": 0.1}, {"1m": lower, "5m": 0.1}, {"1m": upper, "5m": 0.1}, Reason.OK)


def test_the_latency_is_that_of_the_load_of_the_last_minute_with_the_doubt_about_both() -> None:
    """The interval goes from that at the lower end of ρ to that at the upper, with the model's own error beyond."""
    found = latency_seconds(CURVE, rho(0.75, 0.5, 0.9), MU, wanted=True)
    assert found.verdict is Reason.OK
    assert found.value["wait/0.95"] == pytest.approx(0.2)
    assert found.lower["wait/0.95"] == pytest.approx(0.1 / OFF)
    assert found.upper["wait/0.95"] == pytest.approx(0.5 * OFF)
    assert set(found.value) == {f"{kind}/{q}" for kind in ("wait", "ttft", "itl") for q in ("0.5", "0.95", "0.99")}


def test_where_the_load_may_be_beyond_the_curve_there_is_no_upper_end_and_where_it_is_no_latency() -> None:
    """How long requests wait then depends on how long it lasts."""
    near = latency_seconds(CURVE, rho(0.9, 0.8, 1.0), MU, wanted=True)
    assert near.value["wait/0.95"] == pytest.approx(0.5)
    assert "wait/0.95" not in near.upper
    beyond = latency_seconds(CURVE, rho(1.1, 1.0, 1.2), MU, wanted=True)
    assert (beyond.value, beyond.verdict) == ({}, Reason.NO_STEADY_STATE)


@pytest.mark.parametrize("verdict", [reason for reason in Reason if not reason.valid])
def test_a_service_rate_that_is_not_sure_gives_neither_latency_nor_a_load_that_meets_a_target(verdict: Reason) -> None:
    """And says why."""
    doubted = Estimate(10.0, 9.0, 11.0, verdict)
    slo = Slo(wait_seconds=0.5)
    found = latency_seconds(CURVE, rho(0.75, 0.5, 0.9), doubted, wanted=True), slo_service_rate(CURVE, slo, doubted)
    assert [(one.value, one.verdict) for one in found] == [({}, verdict)] * 2
    assert queue_bound(CURVE, slo, doubted, found[1]) is None
    assert sized_utilization(0.8, found[1], doubted) == 0.8


def test_a_service_rate_that_is_sure_and_has_no_number_gives_no_load_that_meets_a_target() -> None:
    """It is what is missing, and not that the target could not be met."""
    found = slo_service_rate(CURVE, Slo(wait_seconds=0.5), Estimate(verdict=Reason.OK))
    assert (found.value, found.verdict, found.verdicts) == ({}, Reason.DEPENDS, {})


def test_nobody_has_asked_and_nothing_is_said() -> None:
    """No number, and no reason either; while the curve is worked out, that is the reason."""
    assert latency_seconds(CURVE, rho(0.75, 0.5, 0.9), MU, wanted=False).verdict is None
    assert slo_service_rate(CURVE, Slo(), MU).verdict is None
    assert latency_seconds(None, rho(0.75, 0.5, 0.9), MU, wanted=True).verdict is Reason.LATENCY_PENDING
    assert slo_service_rate(None, Slo(wait_seconds=1.0), MU).verdict is Reason.LATENCY_PENDING


def test_the_rate_that_meets_a_target_is_the_load_at_which_the_latency_reaches_it() -> None:
    """Times μ; its interval holds μ's and what the latency may be off by."""
    rates = slo_service_rate(CURVE, Slo(wait_seconds=0.5, first_token_seconds=0.4), MU)
    assert rates.value == {"wait": pytest.approx(9.0), "ttft": pytest.approx(7.5)}
    assert rates.lower["wait"] < 0.9 * 9.0
    assert rates.upper["wait"] > 0.9 * 11.0
    load = slo_utilization(Estimate(4.5, 4.0, 5.0, Reason.OK), rates)
    assert load.value == {"wait": pytest.approx(0.5), "ttft": pytest.approx(0.6)}
    assert load.lower["wait"] < 0.5 < load.upper["wait"]


def test_a_target_that_even_a_quiet_engine_misses_has_no_rate_and_says_so() -> None:
    """The other target has its own."""
    rates = slo_service_rate(CURVE, Slo(wait_seconds=0.5, between_seconds=0.001), MU)
    assert set(rates.value) == {"wait"}
    assert rates.verdicts == {"wait": Reason.OK, "itl": Reason.SLO_UNREACHABLE}
    assert rates.verdict is Reason.SLO_UNREACHABLE


def test_where_the_highest_load_that_is_known_keeps_to_it_the_rate_may_be_up_to_that_of_the_engine() -> None:
    """The value is what was seen to keep to it."""
    rates = slo_service_rate(CURVE, Slo(wait_seconds=60.0), MU)
    assert rates.value["wait"] == pytest.approx(9.5)
    assert rates.upper["wait"] == pytest.approx(11.0)


def test_replicas_are_sized_for_the_lower_of_the_two_loads() -> None:
    """That of the configuration, and the one that all targets allow."""
    rates = slo_service_rate(CURVE, Slo(wait_seconds=0.1, between_seconds=1.0), MU)
    assert sized_utilization(0.8, rates, MU) == pytest.approx(0.5)
    assert sized_utilization(0.3, rates, MU) == 0.3
    assert sized_utilization(0.8, KeyedEstimate(), MU) == 0.8


def test_what_is_seen_in_the_bucket_of_the_prediction_is_not_apart() -> None:
    """Else the nearer edge counts, to both sides."""
    predicted = KeyedEstimate(
        {"wait/0.95": 0.2, "ttft/0.95": 0.4, "itl/0.95": 0.02, "wait/0.5": 9.0}, verdict=Reason.OK
    )
    seen = {"wait/0.95": (0.0, 0.3), "ttft/0.95": (0.5, 0.75), "itl/0.95": (0.0, 0.01), "wait/0.5": (0.0, 0.3)}
    assert latency_residual_ratio(predicted, seen) == {
        "wait": 0.0,
        "ttft": pytest.approx(0.25),
        "itl": pytest.approx(-0.5),
    }


def test_the_queue_is_bounded_so_that_its_last_is_served_in_time() -> None:
    """By the lower end of μ, and with room for chance; those that run count as requests, and not as prompt tokens."""
    slo = Slo(wait_seconds=10.0)
    bound = queue_bound(CURVE, slo, MU, slo_service_rate(CURVE, slo, MU))
    assert bound is not None
    waiting = bound.requests - 32
    assert waiting + Z90 * waiting**0.5 <= 9.0 * 10.0 < (waiting + 1) + Z90 * (waiting + 1) ** 0.5
    assert bound.prompt_tokens == 300 * waiting
    first = Slo(first_token_seconds=10.0 + 0.2)
    assert queue_bound(CURVE, first, MU, slo_service_rate(CURVE, first, MU)) == bound


def test_no_queue_is_bounded_for_a_target_that_is_not_about_waiting() -> None:
    """Time between tokens does not depend on who waits."""
    slo = Slo(between_seconds=1.0)
    assert queue_bound(CURVE, slo, MU, slo_service_rate(CURVE, slo, MU)) is None


def test_bursts_count_only_where_chance_does_not_explain_them() -> None:
    """An index of dispersion of 2 comes by chance; one of 9 is a coefficient of variation of 3."""
    assert [burstiness(index) for index in (0.5, 1.0, 2.0, 9.0, 400.0)] == [1.0, 1.0, 1.0, 3.0, 5.0]
