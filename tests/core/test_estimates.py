"""b̄, E[g], δ, the queue's trend and what follows from them, against an engine whose numbers are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from kvwatch.facts import EngineSample, Settings
from kvwatch.views import EngineView
from tests.core.synthetic import EDGES, SEATS_KNOWN, START, Ask, SyntheticEngine, Watch, poisson, without
from tests.queueing.steps import held_step_by_step


def block_counted(engine: SyntheticEngine, since: float) -> float:
    """Mean g of the requests that finished since a time, by acting out their steps."""
    done = [
        sum(held_step_by_step(r.prompt_tokens, r.completion_tokens, engine.block, engine.chunk))
        for r in engine.records
        if r.finish > since
    ]
    return float(np.mean(done))


@pytest.mark.parametrize("rate", [3.0, 30.0])
def test_three_independent_estimates_of_memory_work_agree(rate: float) -> None:
    """Moments of interval sums, memory held against tokens generated, and the request log."""
    engine = SyntheticEngine(poisson(rate, 400), block=32)
    watch = Watch(engine, log_requests=True)
    view = watch.run(400)
    # at the slower rate the window holds 360 requests, whose own scatter moves moments by some percent
    exact = block_counted(engine, watch.at - 120)
    g = view.request_demand_token_steps.value
    assert g["joint"] == pytest.approx(exact, rel=0.02)
    assert g["moments"] == pytest.approx(exact, rel=0.10)
    assert g["occupancy"] == pytest.approx(exact, rel=0.10)
    assert view.occupancy_residual_ratio == pytest.approx(g["joint"] / g["occupancy"] - 1)
    assert view.estimate_valid["request_demand_token_steps"].valid


def test_lengths_that_rise_together_are_not_taken_for_independent() -> None:
    """A long prompt has a long answer: the product of the means would be a quarter low."""

    def together(rng: np.random.Generator) -> tuple[int, int]:
        n = int(rng.integers(10, 190))
        return n, n

    engine = SyntheticEngine(poisson(10, 500, lengths=together))
    watch = Watch(engine)
    g = watch.run(500).request_demand_token_steps.value["moments"]
    exact = block_counted(engine, watch.at - 120)
    assert g == pytest.approx(exact, rel=0.10)
    independent = 100 * 100 + 100 * 99 / 2 + 7.5 * 100
    assert independent < 0.85 * exact


def test_step_time_is_that_of_the_steps_while_the_engine_is_busy() -> None:
    """Both statistics, from cadence."""
    view = Watch(SyntheticEngine(poisson(20, 200), step_seconds=0.035)).run(120)
    assert view.step_seconds.value["trimmed_mean"] == pytest.approx(0.035, rel=0.02)
    assert view.step_seconds.value["median"] == pytest.approx(0.035, rel=0.03)
    assert view.estimate_valid["step_seconds"].valid


def test_idle_gaps_do_not_lengthen_the_step() -> None:
    """A request every four seconds leaves the engine idle most of the time; a step still takes 20 ms."""
    view = Watch(SyntheticEngine(poisson(0.25, 400, lengths=lambda _: (50, 30)))).run(400)
    assert view.step_seconds.value["trimmed_mean"] == pytest.approx(0.02, rel=0.05)
    assert view.step_seconds.value["median"] == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("poison", [1e6, -100.0, -1e6])
@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_a_poisoned_latency_sum_does_not_move_the_step_time(poison: float, rate: float) -> None:
    """Engine-side aborts add times as long as the host has been up, or take some away; every tenth scrape does."""
    scrapes = count(1)

    def show(sample: EngineSample) -> EngineSample:
        assert sample.inter_token_seconds_sum is not None
        poisoned = next(scrapes) // 10 * poison
        return replace(sample, inter_token_seconds_sum=sample.inter_token_seconds_sum + poisoned)

    clean = Watch(SyntheticEngine(poisson(rate, 200))).run(150)
    dirty = Watch(SyntheticEngine(poisson(rate, 200)), show=show).run(150)
    assert next(scrapes) > 100
    assert dirty.step_seconds.value == pytest.approx(clean.step_seconds.value, rel=0.05)
    assert dirty.step_seconds.value["trimmed_mean"] == pytest.approx(0.02, rel=0.05)


def test_without_inter_token_latencies_the_cadence_of_busy_intervals_counts() -> None:
    """An engine that is never idle needs no other source."""
    missing = without(inter_token_seconds_sum=None, inter_token_count=None)
    view = Watch(SyntheticEngine(poisson(20, 200)), show=missing).run(120)
    assert view.step_seconds.value["trimmed_mean"] == pytest.approx(0.02, rel=0.02)


def test_the_service_rate_of_a_full_house_is_what_the_seats_serve() -> None:
    """Eight seats, all taken: μ is seats over time in a seat, and it is what completes."""
    engine = SyntheticEngine(poisson(20, 400), seats=8)
    watch = Watch(engine, settings=replace(SEATS_KNOWN, max_num_seqs=8))
    view = watch.run(300)
    served = sum(r.finish > watch.at - 200 for r in engine.records) / 200
    assert view.binding_limit == {"seqs": 1.0}
    assert view.service_rate.value == pytest.approx(served, rel=0.10)
    assert view.observed_service_rate == pytest.approx(served, rel=0.10)
    assert view.model_gap_ratio is not None
    assert view.model_gap_ratio < 0.15
    assert view.stable_limit.value == 1
    assert view.utilization.value["5m" if "5m" in view.utilization.value else "1m"] == pytest.approx(
        20 / served, rel=0.15
    )


def test_without_a_backlog_the_service_rate_is_not_observed() -> None:
    """What completes below capacity is what arrives, and says nothing about μ."""
    view = Watch(SyntheticEngine(poisson(10, 200))).run(150)
    assert view.observed_service_rate is None
    assert view.model_gap_ratio is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(max_num_batched_tokens=2048, max_model_len=4096, source="config"), "seats_unknown"),
        (Settings(), "seats_unknown"),
    ],
)
def test_seats_that_nothing_shows_are_assumed_and_the_rate_says_so(settings: Settings, reason: str) -> None:
    """Somebody may have set fewer than any default: the verdict names what to set."""
    view = Watch(SyntheticEngine(poisson(10, 200)), settings=settings).run(150)
    assert view.service_rate.value is not None
    seats = view.settings["max_num_seqs"]
    assert (seats.value, seats.source, seats.between) == (256, "default", (128, 1024))
    verdict = view.estimate_valid["service_rate"]
    assert (verdict.valid, verdict.reason) == (False, reason)
    assert "max_num_seqs" in verdict.words


def test_the_service_rate_is_the_smallest_over_its_limits() -> None:
    """And the one that binds is named."""
    view = Watch(SyntheticEngine(poisson(10, 200))).run(150)
    assert set(view.service_rate_limit) == {"kv", "seqs", "tokens"}
    (limit,) = view.binding_limit
    assert view.service_rate.value == min(view.service_rate_limit.values()) == view.service_rate_limit[limit]


def test_the_largest_request_is_a_bound_from_buckets_and_exact_from_a_log() -> None:
    """δ from bucket edges is never below the truth; a log shows it."""
    memory_binds = replace(SEATS_KNOWN, max_num_seqs=100_000, max_num_batched_tokens=1_000_000)
    engine = SyntheticEngine(poisson(10, 200))
    bound = Watch(engine, settings=memory_binds).run(150)
    largest = max(r.prompt_tokens + r.completion_tokens for r in engine.records)
    assert bound.binding_limit == {"kv": 1.0}
    assert bound.stable_limit.value is not None
    assert bound.stable_limit.value <= 1 - largest / engine.kv_tokens
    # prompts below 200 and outputs below 150 fill the buckets up to 200 each
    assert bound.stable_limit.value == pytest.approx(1 - 400 / engine.kv_tokens)
    assert bound.estimate_valid["stable_limit"].reason == "delta_is_bound"

    capped = Watch(SyntheticEngine(poisson(10, 200)), settings=replace(memory_binds, max_model_len=360)).run(150)
    assert capped.stable_limit.value == pytest.approx(1 - 360 / engine.kv_tokens)

    logged = SyntheticEngine(poisson(10, 200))
    exact = Watch(logged, settings=memory_binds, log_requests=True).run(150)
    assert exact.stable_limit.value == pytest.approx(1 - largest / engine.kv_tokens)
    assert exact.estimate_valid["stable_limit"].valid
    assert exact.stability_margin == pytest.approx(exact.stable_limit.value - exact.utilization.value["1m"])


def test_a_request_beyond_the_last_edge_is_bounded_by_the_longest_that_the_model_takes() -> None:
    """And by nothing where that is unknown."""
    memory_binds = replace(SEATS_KNOWN, max_num_seqs=100_000, max_num_batched_tokens=1_000_000)
    asks = poisson(10, 200, lengths=lambda rng: (int(rng.integers(1900, 2100)), 20))
    known = Watch(SyntheticEngine(asks, kv_tokens=400_000), settings=memory_binds).run(100)
    assert EDGES[-2] == 2000
    assert known.stable_limit.value == pytest.approx(1 - 4096 / 400_000)
    unknown = Watch(SyntheticEngine(asks, kv_tokens=400_000), settings=replace(memory_binds, max_model_len=None)).run(
        100
    )
    assert unknown.stable_limit.value is None
    assert unknown.stability_margin is None
    assert unknown.estimate_valid["stable_limit"].reason == "delta_unknown"


def test_a_queue_that_grows_has_a_slope_of_arrivals_less_service() -> None:
    """In overload the interval is above 0 and holds λ − μ."""
    engine = SyntheticEngine(poisson(20, 300), seats=8)
    watch = Watch(engine)
    view = watch.run(250)
    served = sum(r.finish > watch.at - 200 for r in engine.records) / 200
    assert view.queue_slope.value == pytest.approx(20 - served, rel=0.1)
    assert view.queue_slope.lower is not None
    assert view.queue_slope.upper is not None
    assert 0 < view.queue_slope.lower <= view.queue_slope.value <= view.queue_slope.upper
    assert view.estimate_valid["queue_slope"].valid


def test_a_queue_that_drains_has_a_negative_slope() -> None:
    """After the burst the whole interval is below 0."""
    view = Watch(SyntheticEngine(poisson(lambda s: 25.0 if s < 60 else 0.5, 400), seats=8)).run(200)
    assert view.queue_length is not None
    assert view.queue_length > 100
    assert view.queue_slope.upper is not None
    assert view.queue_slope.upper < 0


def test_a_queue_that_stays_empty_has_slope_zero() -> None:
    """Known to be flat, not unknown; and unknown until a minute has been seen."""
    watch = Watch(SyntheticEngine(poisson(5, 300)))
    early = watch.run(40)
    assert early.queue_slope.value is None
    assert early.estimate_valid["queue_slope"].reason == "warming_up"
    view = watch.run(100)
    assert (view.queue_slope.value, view.queue_slope.lower, view.queue_slope.upper) == (0, 0, 0)


def test_requests_that_wait_for_other_things_than_capacity_are_no_queue() -> None:
    """Deferred ones (adapters, transfers) neither slope the queue nor make a backlog."""
    growing = count()

    def show(sample: EngineSample) -> EngineSample:
        deferred = float(next(growing))
        return replace(sample, waiting=deferred, waiting_capacity=0.0, waiting_deferred=deferred)

    view = Watch(SyntheticEngine(poisson(5, 300)), show=show).run(150)
    assert view.queue_slope.value == 0
    assert view.observed_service_rate is None
    assert view.queue_length == 149


def saturation(view: EngineView) -> float | None:
    """Seconds until the limit is met, which must not have been met yet."""
    assert view.utilization.value["5m"] < 1
    return view.time_to_saturation_seconds


def test_a_rising_ramp_meets_the_limit_at_the_time_that_its_trend_says() -> None:
    """Arrivals that rise by a fixed amount a second: μ, λ and the trend give the time."""
    watch = Watch(SyntheticEngine(poisson(lambda s: 4 + 0.04 * s, 400)))
    view = watch.run(400)
    left = saturation(view)
    assert left is not None
    assert view.service_rate.value is not None
    assert view.stable_limit.value is not None
    truth = (view.service_rate.value * view.stable_limit.value - 20) / 0.04
    assert left == pytest.approx(truth, rel=0.35)


@pytest.mark.parametrize("rate", [0.0, 8.0])
def test_arrivals_that_do_not_rise_never_meet_the_limit(rate: float) -> None:
    """Absent, not infinite."""
    assert saturation(Watch(SyntheticEngine(poisson(rate, 400, seed=4))).run(400)) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_step_of_the_load_leads_nowhere(seed: int) -> None:
    """From 4 to 8 requests/s of some 60: five minutes of it are seen, and no trend goes on from there.

    In the first minute nothing tells a step from the begin of a steep ramp.
    """
    watch = Watch(SyntheticEngine(poisson(lambda s: 4.0 if s < 330 else 8.0, 700, seed=seed)))
    for second in range(0, 700, 10):
        view = watch.run(10)
        if second >= 330 + 60:
            assert view.time_to_saturation_seconds is None, second


def test_an_engine_in_overload_has_met_its_limit() -> None:
    """Nothing is left of the time."""
    watch = Watch(SyntheticEngine(poisson(20, 400), seats=8), settings=replace(SEATS_KNOWN, max_num_seqs=8))
    view = watch.run(350)
    assert view.time_to_saturation_seconds == 0
    assert view.stability_margin is not None
    assert view.stability_margin < 0
    assert view.utilization.value["5m"] > 1


def test_too_few_requests_give_no_service_rate_and_say_so() -> None:
    """One long request every ten seconds: the steps are known by then, but fifteen lengths are no sure mean."""
    asks = [Ask(START + 10 * n, 50, 200) for n in range(15)]
    view = Watch(SyntheticEngine(asks)).run(150)
    assert view.step_seconds.value["median"] == pytest.approx(0.02, rel=0.05)
    assert view.service_rate.value is None
    assert view.service_rate_limit == {}
    assert view.estimate_valid["service_rate"].reason == "too_few_requests"


def test_too_few_busy_intervals_give_no_service_rate_and_say_so() -> None:
    """Many short requests at once, once: their lengths are known, how steps grow with load is not."""
    asks = [Ask(START + 9, 50, 280 + n) for n in range(40)]
    view = Watch(SyntheticEngine(asks)).run(70)
    assert view.service_rate.value is None
    assert view.estimate_valid["service_rate"].reason == "law_unknown"
