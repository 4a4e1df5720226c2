"""μ and its interval, worked out by hand from evidence of which every part is known."""

from __future__ import annotations

from math import e, exp, hypot, log

import pytest

from kvwatch.core.assumptions import Assumed, Assumptions
from kvwatch.core.capacity.model_deviation import extrapolation
from kvwatch.core.capacity.observed_service_rate import ObservedRate
from kvwatch.core.capacity.service_rate import plain_service_rate, service_rate
from kvwatch.core.interval import KvCapacity
from kvwatch.core.traffic.cache_hits import HitsFall
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import Settings
from kvwatch.stats.normal import Z90
from tests.core.capacity.evidence import (
    BUDGET,
    HELD,
    KV_TOKENS,
    SEATS,
    SEATS_RATE,
    STEP_SECONDS,
    FlatLaw,
    correction,
    demand,
    evidence,
    inputs,
)

MODEL, UNCORRECTED = 0.025, 0.15
"""Relative standard deviations of the model, with a run of the embedded engine and without."""
CURVATURE = 0.03
"""And of a law for each factor e beyond what was seen."""


def deviation(estimate: Estimate) -> float:
    """The relative standard deviation that an interval was made of; it is as wide on both sides, in logarithms."""
    assert estimate.value is not None
    assert estimate.lower is not None
    assert estimate.upper is not None
    assert estimate.upper / estimate.value == pytest.approx(estimate.value / estimate.lower)
    return log(estimate.upper / estimate.value) / Z90


def test_the_rate_is_what_the_limit_that_is_reached_first_serves() -> None:
    """Seats for 80 and memory for 100: μ is seats over steps times step time, and memory is named as the wider one."""
    found = service_rate(evidence())
    assert found.limit == "seqs"
    assert found.estimate.value == pytest.approx(SEATS_RATE)
    assert found.by_limit["kv"] == pytest.approx(SEATS_RATE * 100 / 80)
    assert found.estimate.verdict is Reason.OK
    wide = service_rate(evidence(full=inputs(seats=200), correction=correction(1.0, "kv")))
    assert wide.limit == "kv"
    assert wide.estimate.value == pytest.approx(SEATS_RATE * 100 / 80)


def test_the_embedded_engines_correction_counts_for_the_limit_that_it_was_made_for() -> None:
    """A tenth less, its step time, and a surer rate; of another limit it says nothing."""
    found = service_rate(evidence(correction=correction(0.9)))
    assert found.estimate.value == pytest.approx(0.9 * SEATS_RATE)
    assert found.step_seconds == 0.05
    assert deviation(found.estimate) == pytest.approx(MODEL)
    other = service_rate(evidence(correction=correction(0.9, "kv")))
    assert other.estimate.value == pytest.approx(SEATS_RATE)
    assert other.step_seconds == STEP_SECONDS
    assert deviation(other.estimate) == pytest.approx(UNCORRECTED)
    assert deviation(service_rate(evidence(correction=None)).estimate) == pytest.approx(UNCORRECTED)


def test_what_overloads_have_taught_scales_the_rate() -> None:
    """And what the model alone says, with it, is told apart."""
    found = service_rate(evidence(calibration=1.1))
    assert found.estimate.value == pytest.approx(1.1 * SEATS_RATE)
    assert found.model_rate == pytest.approx(1.1 * SEATS_RATE)


def test_the_interval_adds_up_the_laws_the_mixs_and_the_models_doubt_in_squares() -> None:
    """They are independent of each other."""
    found = service_rate(evidence(full=inputs(FlatLaw(deviation=0.03), deviation=0.04)))
    assert deviation(found.estimate) == pytest.approx(hypot(0.03, 0.04, MODEL))


@pytest.mark.parametrize(
    ("seen", "factors"), [((79, 0, 8e3), 0.0), ((80 / e, 0, 8e3), 1.0), ((80, 0, 8e3 / e**2), 2.0)]
)
def test_a_law_is_doubted_by_how_far_beyond_what_was_seen_it_is_asked(
    seen: tuple[float, float, float], factors: float
) -> None:
    """Three percent for each factor e of sequences or of resident tokens, whichever is farther.

    The full step decodes 78.4 of 80 requests, as each computes its prompt in one of 50 steps, and holds 8,000 tokens.
    """
    full = inputs(FlatLaw(seen=(seen[0] * 0.98, seen[1], seen[2])))
    assert extrapolation(full, full.closed_form["seqs"]) == pytest.approx(factors, abs=0.02)
    expected = hypot(CURVATURE * factors, MODEL)
    assert deviation(service_rate(evidence(full=full)).estimate) == pytest.approx(expected, rel=0.02)


def test_a_law_that_has_seen_nothing_is_doubted_like_one_asked_a_factor_e_beyond() -> None:
    """No sequence, or no token, was ever seen in more than passing."""
    for seen in ((0.0, 0.0, 8e3), (80.0, 0.0, 0.0)):
        full = inputs(FlatLaw(seen=seen))
        assert extrapolation(full, full.closed_form["seqs"]) == 1.0
    little = inputs(FlatLaw(seen=(80.0, 0.0, 0.5)))
    assert extrapolation(little, little.closed_form["seqs"]) == pytest.approx(log(8e3 / 0.5), abs=0.02)


@pytest.mark.parametrize(("requests", "weight"), [(30.0, 0.5), (270.0, 0.9), (1.0, 1 / 31)])
def test_an_observed_rate_weighs_by_the_requests_that_it_rests_on(requests: float, weight: float) -> None:
    """Thirty weigh as much as the model; rates are averaged as logarithms, and so are their doubts.

    So many finished requests are sure to 0.8/√n, and a full engine drifts by 4% besides.
    """
    found = service_rate(evidence(observed=ObservedRate(20.0, requests)))
    assert found.estimate.value == pytest.approx(SEATS_RATE ** (1 - weight) * 20.0**weight)
    assert found.model_rate == pytest.approx(SEATS_RATE)
    of_observation = hypot(0.8 / requests**0.5, 0.04)
    assert deviation(found.estimate) == pytest.approx(hypot((1 - weight) * MODEL, weight * of_observation))


def test_without_a_law_the_observed_rate_is_the_answer() -> None:
    """It is the truth itself; where nearly all seats are taken they bind, else memory does."""
    observed = ObservedRate(20.0, 100.0)
    seated = service_rate(evidence(full=None, observed=observed, running=0.9 * SEATS))
    assert (seated.estimate.value, seated.limit, seated.by_limit) == (20.0, "seqs", {"seqs": 20.0})
    assert deviation(seated.estimate) == pytest.approx(hypot(0.08, 0.04))
    assert service_rate(evidence(full=None, observed=observed, running=0.89 * SEATS)).limit == "kv"
    unknown = evidence(full=None, observed=observed, settings=Settings(None, None, None, "config"))
    assert service_rate(unknown).limit == "kv"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step_time": None}, Reason.NO_BUSY_INTERVALS),
        ({"kv_capacity": None}, Reason.CAPACITY_UNKNOWN),
        ({"law_known": True}, Reason.TOO_FEW_REQUESTS),
        ({"law_known": False}, Reason.LAW_UNKNOWN),
    ],
)
def test_without_law_and_observation_there_is_no_rate_and_the_reason_is_told(
    changes: dict[str, object], reason: Reason
) -> None:
    """The first thing that is missing."""
    assert service_rate(evidence(full=None, **changes)).estimate == Estimate(verdict=reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"assumptions": Assumptions(seats=Assumed(SEATS, SEATS, SEATS, SEATS // 2))}, Reason.SEATS_UNKNOWN),
        ({"assumptions": Assumptions(seats=Assumed(SEATS, SEATS, SEATS, SEATS - 8))}, Reason.OK),
        ({"assumptions": Assumptions(seats=Assumed(SEATS, SEATS, 10 * SEATS, SEATS))}, Reason.OK),
        ({"assumptions": Assumptions(budget=Assumed(BUDGET, BUDGET, BUDGET, 32))}, Reason.BUDGET_UNKNOWN),
        ({"assumptions": Assumptions(budget=Assumed(BUDGET, 512, 16384, 512))}, Reason.OK),
        ({"kv_capacity": KvCapacity(KV_TOKENS, 16, exact=False)}, Reason.HYBRID_KV),
        ({"speculative": True}, Reason.SPECULATIVE_DECODING),
        ({"other_scheduler": True}, Reason.OTHER_SCHEDULER),
        ({"settings": Settings(SEATS, BUDGET, 4096, prefill_schedule_interval=4)}, Reason.PREFILL_INTERVAL),
        ({"settings": Settings(SEATS, BUDGET, 4096, prefill_schedule_interval=1)}, Reason.OK),
        ({"full": inputs(FlatLaw(open_deviation=0.11))}, Reason.MODEL_UNKNOWN),
        ({"full": inputs(FlatLaw(open_deviation=0.09))}, Reason.OK),
        ({"full": inputs(FlatLaw(largest=STEP_SECONDS / 4.1))}, Reason.EXTRAPOLATING),
        ({"full": inputs(FlatLaw(largest=STEP_SECONDS / 3.9))}, Reason.OK),
        ({"demand": demand(by_method={"moments": 1.16 * HELD, "occupancy": HELD})}, Reason.OCCUPANCY_DISAGREES),
        ({"demand": demand(by_method={"moments": 0.84 * HELD, "occupancy": HELD})}, Reason.OCCUPANCY_DISAGREES),
        ({"demand": demand(by_method={"moments": 1.14 * HELD, "occupancy": HELD})}, Reason.OK),
    ],
)
def test_what_is_doubtful_about_a_rate_is_told_with_it(changes: dict[str, object], reason: Reason) -> None:
    """The rate is there all the same."""
    found = service_rate(evidence(**changes)).estimate
    assert found.verdict is reason
    assert found.value is not None


def test_hits_that_fall_as_memory_fills_widen_the_interval_and_are_told() -> None:
    """From 95% of hits to 28%, as a server of agents was measured: each prompt computes 0.72 instead of 0.05 of itself.

    If they fell by as much again it would be 1.39 of 0.72; half of that logarithm is the doubt. The rate itself stays.
    """
    sure, fallen = service_rate(evidence()), service_rate(evidence(hits_fall=HitsFall(0.95, 0.28)))
    assert fallen.estimate.verdict is Reason.CACHE_HITS_FALL
    assert fallen.estimate.value == sure.estimate.value
    assert deviation(fallen.estimate) == pytest.approx(hypot(deviation(sure.estimate), log(1.39 / 0.72) / 2))


def test_lengths_and_occupancy_may_differ_where_requests_share_memory_or_the_rate_is_seen() -> None:
    """Of shared prompts lengths say more than is held; in a backlog the rate shows itself."""
    apart = {"moments": 1.5 * HELD, "occupancy": HELD}
    assert service_rate(evidence(demand=demand(by_method=apart, cached_ratio=0.03))).estimate.verdict is Reason.OK
    for cached in (0.0, 0.01, None):
        doubted = service_rate(evidence(demand=demand(by_method=apart, cached_ratio=cached)))
        assert doubted.estimate.verdict is Reason.OCCUPANCY_DISAGREES
    seen = evidence(demand=demand(by_method=apart), observed=ObservedRate(20.0, 100.0))
    assert service_rate(seen).estimate.verdict is Reason.OK


def test_the_method_is_a_logs_lengths_then_what_is_held_then_the_moments() -> None:
    """The best source that there is."""
    for methods in (("joint", "occupancy", "moments"), ("occupancy", "moments"), ("moments",)):
        assert service_rate(evidence(demand=demand(by_method=dict.fromkeys(methods, HELD)))).method == methods[0]


def test_the_plain_formula_is_the_papers_with_the_step_time_of_now() -> None:
    """M/(b̄·E[g]), of a log's lengths where there is one; unknown while one of them is."""
    assert plain_service_rate(evidence()) == pytest.approx(KV_TOKENS / (STEP_SECONDS * HELD))
    logged = evidence(demand=demand(by_method={"joint": 2 * HELD, "moments": HELD}))
    assert plain_service_rate(logged) == pytest.approx(KV_TOKENS / (STEP_SECONDS * 2 * HELD))
    for missing in ({"kv_capacity": None}, {"step_time": None}, {"demand": demand(by_method={"occupancy": HELD})}):
        assert plain_service_rate(evidence(**missing)) is None


def test_the_interval_is_of_ninety_percent() -> None:
    """1.645 standard deviations on either side, in logarithms."""
    found = service_rate(evidence(full=inputs(FlatLaw(deviation=0.1)))).estimate
    assert found.value is not None
    assert found.upper == pytest.approx(found.value * exp(1.6448536 * hypot(0.1, MODEL)))
