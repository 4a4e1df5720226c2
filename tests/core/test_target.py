"""Freshness of targets and engines: what is stale is withheld, what is gone is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import CacheConfig, EngineKey, EngineSample, RequestRecord, Scrape, ScrapeFailed, Settings
from kvwatch.views import TargetView
from tests.core.synthetic import KEY, SEATS_KNOWN, START, TARGET, SyntheticEngine, Watch, poisson, without

OTHER = EngineKey("m", "1")


def target_of(watch: Watch, now: float) -> TargetView:
    """The one target as it is exported at a time."""
    (target,) = watch.fleet.view(now).targets
    return target


def test_a_target_that_was_never_scraped_is_down_and_has_no_engines() -> None:
    """There is no age of what never was."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET)
    (target,) = fleet.view(START).targets
    assert not target.up
    assert target.engines == ()
    assert target.scrape_age_seconds is None
    assert target.problem == "not scraped yet"


@pytest.mark.parametrize("interval", [1.0, 5.0])
def test_estimates_are_withheld_once_three_scrapes_are_missing(interval: float) -> None:
    """Fresh up to three intervals, then down and without engines, and back with the next scrape."""
    watch = Watch(SyntheticEngine(poisson(5, 200)), options=CoreOptions(scrape_interval_seconds=interval))
    watch.run(100)
    fresh = target_of(watch, watch.at + 3 * interval)
    assert fresh.up
    assert len(fresh.engines) == 1
    stale = target_of(watch, watch.at + 3 * interval + 0.01)
    assert not stale.up
    assert stale.engines == ()
    assert stale.problem == "stale"
    assert stale.scrape_age_seconds == pytest.approx(3 * interval + 0.01)
    watch.run(interval)
    assert target_of(watch, watch.at).up


def test_a_failed_scrape_is_told_at_once_while_fresh_estimates_stay() -> None:
    """Down with the reason; engines go when they are stale; one good scrape is enough to be up again."""
    watch = Watch(SyntheticEngine(poisson(5, 200)))
    watch.run(70)
    watch.fleet.observe(TARGET, ScrapeFailed(watch.at + 1, "refused", "connection refused"))
    failed = target_of(watch, watch.at + 1)
    assert not failed.up
    assert failed.problem == "refused: connection refused"
    assert len(failed.engines) == 1
    assert target_of(watch, watch.at + 4).engines == ()
    watch.run(1)
    assert target_of(watch, watch.at).up
    assert target_of(watch, watch.at).problem == ""


def test_a_server_without_engines_is_up_and_says_what_is_missing() -> None:
    """Something answers, but it is not vLLM, or vLLM has not loaded its model."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET)
    fleet.observe(TARGET, Scrape(at=START, engines=(), duration_seconds=0.02))
    (target,) = fleet.view(START).targets
    assert target.up
    assert target.engines == ()
    assert target.scrape_duration_seconds == 0.02
    assert "no metrics of vLLM" in target.problem


def test_an_engine_that_a_server_stops_exporting_is_withheld_and_then_forgotten() -> None:
    """Its neighbour stays; after ten minutes it would start anew if it came back."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    engine, gone = SyntheticEngine(poisson(5, 900)), SyntheticEngine(poisson(5, 900, seed=2))

    def scrape(at: float, *, both: bool) -> None:
        engine.advance(at)
        gone.advance(at)
        samples = (engine.sample(), gone.sample(OTHER)) if both else (engine.sample(),)
        fleet.observe(TARGET, Scrape(at=at, engines=samples))

    def rates(at: float) -> dict[str, dict[str, float]]:
        return {e.engine: dict(e.arrival_rate.value) for e in fleet.view(at).targets[0].engines}

    for second in range(100):
        scrape(START + second, both=True)
    assert rates(START + 99)["1"]["1m"] > 0
    for second in range(100, 110):
        scrape(START + second, both=False)
        assert set(rates(START + second)) == ({"0", "1"} if second < 103 else {"0"})
    # back within ten minutes: what was known still counts
    scrape(START + 150, both=True)
    assert rates(START + 150)["1"]["1m"] > 0
    for second in range(155, 790, 5):
        scrape(START + second, both=False)
    # back after ten minutes: another engine for all we know, which is watched once it has been shown again
    scrape(START + 790, both=True)
    assert "1" not in rates(START + 790)
    for second in range(791, 793):
        scrape(START + second, both=True)
    assert rates(START + 792)["1"] == {}


def test_an_engine_that_is_named_more_closely_is_not_missed() -> None:
    """A second pod joins the first behind one address: the first has another name, and nothing is withheld for it."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    engine = SyntheticEngine(poisson(5, 900))
    closer = [EngineKey(engine.sample().key.model_name, f"0@{pod}") for pod in ("a", "b")]
    for second in range(30):
        engine.advance(START + second)
        samples = (engine.sample(),) if second < 20 else tuple(engine.sample(key) for key in closer)
        fleet.observe(TARGET, Scrape(at=START + second, engines=samples))
    (target,) = fleet.view(START + 29).targets
    assert [view.engine for view in target.engines] == ["0@a", "0@b"]
    assert target.withheld == ()


def test_an_engine_of_a_server_that_does_not_answer_is_waited_for_for_ten_minutes() -> None:
    """It may have traffic that is not seen; after that it counts as gone, as in the recording rules."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET)
    fleet.observe(TARGET, Scrape(START, (EngineSample(KEY, running=1.0, waiting=0.0),)))
    withheld = {age: fleet.view(START + age).targets[0].withheld for age in (1.0, 60.0, 600.0, 601.0)}
    assert withheld == {1.0: (), 60.0: (KEY.model_name,), 600.0: (KEY.model_name,), 601.0: ()}


def test_data_parallel_engines_are_separate_queues_with_their_own_memory() -> None:
    """``num_gpu_blocks`` is the sum over the server's engines, ``kv_cache_size_tokens`` is one engine's."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    quiet, busy = SyntheticEngine(poisson(2, 400)), SyntheticEngine(poisson(9, 400, seed=2))
    summed = CacheConfig(block_size_tokens=16, num_gpu_blocks=4002)
    for second in range(1, 151):
        at = START + second
        if second > 75 and second % 15 == 0:
            fleet.view(at)
        quiet.advance(at)
        busy.advance(at)
        samples = (replace(quiet.sample(), cache=summed), replace(busy.sample(OTHER), cache=summed))
        fleet.observe(TARGET, Scrape(at=at, engines=samples))
    view = fleet.view(at)
    first, second_engine = view.targets[0].engines
    assert [first.engine, second_engine.engine] == ["0", "1"]
    assert first.kv_capacity_tokens.value == second_engine.kv_capacity_tokens.value == (4002 / 2 - 1) * 16
    assert second_engine.arrival_rate.value["1m"] > 3 * first.arrival_rate.value["1m"]
    assert (view.models[0].replicas_required or 0) >= 1


@pytest.mark.parametrize(
    ("cache", "tokens"),
    [
        (CacheConfig(block_size_tokens=32, num_gpu_blocks=512, kv_cache_size_tokens=16_384), 16_352),
        (CacheConfig(block_size_tokens=32, num_gpu_blocks=512), 16_352),
        (CacheConfig(num_gpu_blocks=512), None),
        (CacheConfig(block_size_tokens=32), None),
        (CacheConfig(block_size_tokens=32, num_gpu_blocks=1), None),
        (CacheConfig(), None),
    ],
)
def test_kv_capacity_leaves_out_the_null_block(cache: CacheConfig, tokens: float | None) -> None:
    """The size in tokens where vLLM tells it, else from blocks; unknown says so."""
    view = Watch(SyntheticEngine(poisson(5, 100)), show=without(cache=cache)).run(
        3
    )  # nothing has finished that differs
    assert view.kv_capacity_tokens.value == tokens
    verdict = view.estimate_valid["kv_capacity_tokens"]
    assert verdict.reason == ("ok" if tokens is not None else "capacity_unknown")


def test_no_more_engines_are_kept_than_a_server_can_have() -> None:
    """Labels that make up ever new engines cannot fill the memory."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET)
    for scrape in range(8):
        samples = tuple(EngineSample(EngineKey("m", str(scrape // 2 * 100 + i)), running=0.0) for i in range(100))
        fleet.observe(TARGET, Scrape(at=START + scrape * 0.25, engines=samples))
    assert len(fleet.view(START + 2).targets[0].engines) == 256


def test_facts_about_a_target_that_is_not_watched_are_ignored() -> None:
    """A scrape that was under way when its target was removed comes too late."""
    fleet = Fleet(CoreOptions())
    fleet.observe("gone:8000", Scrape(at=START, engines=(EngineSample(KEY),)))
    assert fleet.view(START).targets == ()
    fleet.add(TARGET)
    fleet.remove(TARGET)
    fleet.remove(TARGET)
    fleet.observe(TARGET, Scrape(at=START, engines=(EngineSample(KEY),)))
    assert fleet.view(START).targets == ()


def test_other_settings_for_a_target_keep_what_was_learnt() -> None:
    """A reload of the configuration changes the limits, not the estimates."""
    watch = Watch(SyntheticEngine(poisson(8, 200)), settings=Settings())
    before = watch.run(100)
    assert before.estimate_valid["service_rate"].reason == "seats_unknown"
    assert before.settings["max_num_seqs"].source == "default"
    watch.fleet.add(TARGET, SEATS_KNOWN)
    after = watch.view()
    assert after.settings["max_num_seqs"].source == "config"
    assert after.arrival_rate.value == before.arrival_rate.value
    assert after.estimate_valid["service_rate"].reason != "seats_unknown"


def test_what_the_server_shows_wins_over_what_is_configured() -> None:
    """A configuration is out of date as soon as somebody changes a flag; what it says alone stands."""
    watch = Watch(SyntheticEngine(poisson(8, 200)), settings=Settings(max_num_seqs=12, source="config"))
    watch.fleet.observe(TARGET, Settings(max_num_seqs=256, max_num_batched_tokens=2048, source="server_info"))
    view = watch.run(100)
    both = Watch(
        SyntheticEngine(poisson(8, 200)),
        settings=Settings(max_num_seqs=256, max_num_batched_tokens=2048, source="config"),
    ).run(100)
    assert view.service_rate_limit == both.service_rate_limit
    assert set(view.service_rate_limit) == {"kv", "seqs", "tokens"}
    assert view.settings["max_num_seqs"].refuted == ((12, "config"),)


def test_requests_that_ended_before_the_first_scrape_are_in_the_window_if_they_are_recent() -> None:
    """A log is caught up after a restart: what ended within two minutes counts, what ended yesterday does not."""
    for ended, known in ((START - 100, True), (START - 86_400, False)):
        fleet = Fleet(CoreOptions())
        fleet.add(TARGET, SEATS_KNOWN)
        for n in range(50):
            fleet.observe(TARGET, RequestRecord(ended - 10, ended + n / 50, 1000, 1000))
        fleet.observe(TARGET, Scrape(at=START, engines=(EngineSample(KEY, running=0.0),)))
        (engine,) = fleet.view(START).targets[0].engines
        assert ("joint" in engine.request_demand_token_steps.value) is known


def two_engines(other: EngineKey) -> Fleet:
    """A fleet of one target that has shown two engines."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    fleet.observe(TARGET, Scrape(at=START, engines=(EngineSample(KEY, running=0.0), EngineSample(other, running=0.0))))
    return fleet


def lengths_known(fleet: Fleet) -> dict[EngineKey, bool]:
    """For which engines the log's lengths are known."""
    return {
        EngineKey(e.model_name, e.engine): "joint" in e.request_demand_token_steps.value
        for e in fleet.view(START).targets[0].engines
    }


@pytest.mark.parametrize(
    ("other", "named", "expected"),
    [
        (OTHER, {}, (True, True)),
        (OTHER, {"engine": "0"}, (True, False)),
        (OTHER, {"engine": "7"}, (False, False)),
        (EngineKey("n", "0"), {}, (False, False)),
        (EngineKey("n", "0"), {"model_name": "n"}, (False, True)),
        (EngineKey("n", "0"), {"model_name": "x"}, (False, False)),
    ],
)
def test_a_record_tells_of_the_engines_that_may_have_served_it(
    other: EngineKey, named: dict[str, str], expected: tuple[bool, bool]
) -> None:
    """Those of its model and of its number where it names them; of none where two models might be meant."""
    fleet = two_engines(other)
    for n in range(50):
        fleet.observe(TARGET, RequestRecord(START - 2, START - 1 + n / 50, 100, 100, **named))  # type: ignore[arg-type]
    assert lengths_known(fleet) == {KEY: expected[0], other: expected[1]}


def test_facts_before_the_first_scrape_wait_for_it_in_bounded_number() -> None:
    """A million records for a server that is not up yet are no million in memory."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    for n in range(10_000):
        fleet.observe(TARGET, RequestRecord(START - 2, START - 1 + n / 20_000, 100, 100))
    assert len(fleet._targets[TARGET]._logs._early) == 4096


@pytest.mark.long
@pytest.mark.parametrize("every", [1, 2])
def test_a_server_that_makes_up_engines_neither_locks_the_real_one_out_nor_counts_as_a_fleet(every: int) -> None:
    """A hundred new names a scrape, under the model's own name, for a minute: gone with the three intervals.

    The places for engines would be taken after three scrapes, and the model would have 256 stale engines.
    """
    watch = Watch(SyntheticEngine(poisson(5, 400)))
    watch.run(70)
    for _ in range(60):
        watch.at += 1
        watch.engine.advance(watch.at)
        name = watch.at // every
        made_up = [replace(watch.engine.sample(), key=EngineKey(KEY.model_name, f"{name}-{n}")) for n in range(100)]
        watch.fleet.observe(TARGET, Scrape(at=watch.at, engines=(watch.engine.sample(), *made_up)))
        assert watch.fleet.view(watch.at).models[0].model_engines["stale"] == 0
        assert every > 1 or len(target_of(watch, watch.at).engines) == 1
    late = EngineKey(KEY.model_name, "1")
    for _ in range(5):
        watch.at += 1
        watch.engine.advance(watch.at)
        engines = (watch.engine.sample(), watch.engine.sample(late))
        watch.fleet.observe(TARGET, Scrape(at=watch.at, engines=engines))
    assert {engine.engine for engine in target_of(watch, watch.at).engines} == {"0", "1"}
    assert len(watch.fleet.dump_target(TARGET)) == 2
