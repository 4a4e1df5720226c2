"""What logs have told is kept over a restart of kvwatch: it is told only once."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.view import engine_view
from kvwatch.facts import RequestAborted, RequestRecord, RequestStarted, Scrape
from tests.core.synthetic import KEY, SEATS_KNOWN, TARGET, SyntheticEngine, Watch, poisson

SECONDS = 200


def told(watch: Watch, seconds: float, told_before: int = 0) -> int:
    """Lets time go by with every log connected; how many records have been told in all."""
    starts = sum(ask.at <= watch.at for ask in watch.engine.asks)
    for at in watch.seconds(seconds):
        for record in watch.engine.records[told_before:]:
            tenant = f"tenant-{told_before % 7}"
            told_before += 1
            watch.fleet.observe(
                TARGET,
                RequestRecord(
                    record.arrival, record.finish, record.prompt_tokens, record.completion_tokens, tenant=tenant
                ),
            )
        while watch.engine.asks[starts].at <= at:
            watch.fleet.observe(TARGET, RequestStarted(watch.engine.asks[starts].at))
            starts += 1
        watch.fleet.observe(TARGET, RequestAborted(at))
    return told_before


def restarted(watch: Watch, state: object) -> Fleet:
    """A new process, with what a file of JSON kept."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    fleet.restore(TARGET, json.loads(json.dumps(state))[TARGET])
    return fleet


def test_after_a_restart_the_first_scrape_finds_the_window_as_it_was() -> None:
    """E[g] of the log, the shares, λ of the log of starts and δ are there at once, the same as before."""
    watch = Watch(SyntheticEngine(poisson(10, 400)))
    told(watch, SECONDS)
    before = watch.view()
    watch.fleet = restarted(watch, watch.fleet.dump())
    watch.fleet.observe(TARGET, Scrape(at=watch.at, engines=(watch.engine.sample(),)))
    after = watch.view()
    joint = before.request_demand_token_steps.value["joint"]
    assert after.request_demand_token_steps.value["joint"] == pytest.approx(joint, rel=1e-9)
    assert after.demand_share == before.demand_share
    assert after.tenant_arrival_rate == before.tenant_arrival_rate
    assert after.arrival_rate.value["1m"] == pytest.approx(before.arrival_rate.value["1m"], rel=0.02)
    assert after.arrival_selected == {"start_log": 1.0}
    assert after.stable_limit.value == before.stable_limit.value


def test_what_a_log_told_while_nobody_listened_is_caught_up() -> None:
    """Half a minute of records, read after the restart, before or after its first scrape, count when they ended."""
    for before_the_scrape in (True, False):
        watch = Watch(SyntheticEngine(poisson(10, 400)))
        count = told(watch, SECONDS)
        state = watch.fleet.dump()
        for _ in watch.seconds(30):
            pass
        undisturbed = Watch(SyntheticEngine(poisson(10, 400)))
        told(undisturbed, SECONDS + 30)
        watch.fleet = restarted(watch, state)
        scrape = Scrape(at=watch.at, engines=(watch.engine.sample(),))
        if not before_the_scrape:
            watch.fleet.observe(TARGET, scrape)
        for n, r in enumerate(watch.engine.records[count:], count):
            record = RequestRecord(r.arrival, r.finish, r.prompt_tokens, r.completion_tokens, tenant=f"tenant-{n % 7}")
            watch.fleet.observe(TARGET, record)
        if before_the_scrape:
            watch.fleet.observe(TARGET, scrape)
        joint = undisturbed.view().request_demand_token_steps.value["joint"]
        assert watch.view().request_demand_token_steps.value["joint"] == pytest.approx(joint, rel=1e-9)
        assert watch.view().demand_share == pytest.approx(undisturbed.view().demand_share)


def test_a_state_from_before_logs_were_kept_still_restores() -> None:
    """The law and the calibration are taken, the rest begins anew."""
    watch = Watch(SyntheticEngine(poisson(10, 400)))
    watch.run(100)
    state = watch.fleet.dump()
    for engine in state[TARGET]:
        del engine["logs"]
    fleet = restarted(watch, state)
    fleet.observe(TARGET, Scrape(at=watch.at, engines=(watch.engine.sample(),)))
    (view,) = fleet.view(watch.at).targets[0].engines
    assert "joint" not in view.request_demand_token_steps.value


def test_a_state_of_other_windows_is_left_alone() -> None:
    """Windows of other lengths begin anew; nothing is refused, nothing is misread."""
    watch = Watch(SyntheticEngine(poisson(10, 400)))
    told(watch, SECONDS)
    fleet = Fleet(CoreOptions(demand_window_seconds=600.0, windows_seconds={"10m": 600.0}))
    fleet.add(TARGET, SEATS_KNOWN)
    fleet.restore(TARGET, json.loads(json.dumps(watch.fleet.dump()))[TARGET])
    fleet.observe(TARGET, Scrape(at=watch.at, engines=(watch.engine.sample(),)))
    (view,) = fleet.view(watch.at).targets[0].engines
    assert (view.arrival_rate.value, view.demand_share) == ({}, {})


def full_state() -> dict[str, Any]:
    """The dump of an engine whose logs are all connected."""
    watch = Watch(SyntheticEngine(poisson(4, 200)))
    told(watch, 90)
    state: dict[str, Any] = json.loads(json.dumps(watch.fleet.dump()[TARGET][0]))["logs"]
    return state


STATE = full_state()


def places(part: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Paths to everything in a state, of long lists only to the first items."""
    found = [path] if path else []
    if isinstance(part, dict):
        for key, value in part.items():
            found += places(value, (*path, key))
    elif isinstance(part, list):
        for index, value in enumerate(part[:3]):
            found += places(value, (*path, index))
    return found


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(places(STATE)),
    st.sampled_from([None, "x", float("nan"), float("inf"), -1e300, [], {}, [[]], [None], {"a": 1}, "missing"]),
)
def test_damage_is_refused_with_one_of_three_errors_or_does_no_harm(path: tuple[Any, ...], damage: object) -> None:
    """Whatever value is spoilt or missing: what is taken can be used, viewed and dumped again."""
    state = copy.deepcopy(STATE)
    place: Any = state
    for step in path[:-1]:
        place = place[step]
    if damage == "missing":
        del place[path[-1]]
    else:
        place[path[-1]] = damage
    engine = EngineEstimator(CoreOptions())
    empty = engine.dump()
    try:
        engine.restore({**empty, "logs": state})
    except (ValueError, KeyError, TypeError):
        return
    at = SyntheticEngine([]).now + 91
    engine.observe(at, SyntheticEngine([]).sample(), 1)
    engine.observe_request(RequestRecord(at - 3, at - 1, 50, 50, tenant="a"), at)
    assert engine_view(TARGET, KEY, engine, CoreOptions()) is not None
    json.dumps(engine.dump(), allow_nan=False)


def test_the_state_is_bounded_and_small() -> None:
    """An hour of traffic with thousands of tenants is a few hundred kilobytes of JSON."""
    watch = Watch(SyntheticEngine([]))
    watch.run(1)
    sizes = []
    for n in range(30_000):
        at = watch.at - 3600 + n * 0.12
        watch.fleet.observe(TARGET, RequestRecord(at - 1, at, 100 + n % 50, 100, tenant=f"tenant-{n % 5000}"))
        watch.fleet.observe(TARGET, RequestStarted(at))
        if n % 5_000 == 4_999:
            sizes.append(len(json.dumps(watch.fleet.dump())))
    assert max(sizes) < 400_000
