"""What a model's engines come to: sums, roles, and a number of replicas that an autoscaler can follow blindly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.evaluation import EVALUATION_SECONDS
from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.core.pool.roles import best_split
from kvwatch.core.target import Target
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.facts import Settings
from kvwatch.views import EngineView, ModelView, TargetView

OPTIONS = CoreOptions(scale_up_seconds=240)
STEP = int(EVALUATION_SECONDS)


@dataclass
class Replica:
    """An engine whose share of the traffic changes in steps; its windows say what a true mean would."""

    name: str
    born: float
    changes: list[tuple[float, float]]
    """(time, λ from then on)."""
    service_rate: float | None = 5.0
    role: str = ""

    def mean(self, now: float, seconds: float) -> float | None:
        """Mean λ over the last ``seconds``; ``None`` while the replica is younger."""
        if now - self.born < seconds:
            return None
        steps = [*self.changes, (now, 0.0)]
        pieces = [(min(end, now) - max(start, now - seconds), rate) for (start, rate), (end, _) in pairwise(steps)]
        return sum(length * rate for length, rate in pieces if length > 0) / seconds

    def view(self, now: float, *, stale: bool = False) -> TargetView:
        """The target that the replica is, or one whose only engine is withheld."""
        rates = {w: r for w, s in OPTIONS.windows_seconds.items() if (r := self.mean(now, s)) is not None}
        mu = self.service_rate
        engine = EngineView(
            self.name,
            "m",
            "0",
            arrival_rate=KeyedEstimate.of({w: Estimate(r, r * 0.95, r * 1.05, Reason.OK) for w, r in rates.items()}),
            service_rate=Estimate(mu),
            utilization=KeyedEstimate(
                {w: r / mu for w, r in rates.items()} if mu else {},
                verdict=Reason.OK if rates else Reason.WARMING_UP,
            ),
            queue_length=0.0,
            engine_age_seconds=now - self.born,
        )
        if stale:
            return TargetView(self.name, False, 30.0, 0.1, role=self.role, withheld=("m",))
        return TargetView(self.name, True, 0.1, 0.1, (engine,), role=self.role)


def steady(count: int, rate: float, **more: object) -> list[Replica]:
    """Replicas that have long had the same load."""
    return [Replica(f"pod-{i}", -10_000.0, [(-10_000.0, rate)], **more) for i in range(count)]  # type: ignore[arg-type]


def one(model: FleetModel, now: float, views: list[TargetView]) -> ModelView:
    """The only model there is."""
    (view,) = model.update(now, views)
    return view


def settled(model: FleetModel, now: float, views: Callable[[float], list[TargetView]]) -> ModelView:
    """The only model there is, at ``now`` after five minutes of this."""
    for back in range(-300, 0, STEP):
        model.update(now + back, views(now + back))
    return one(model, now, views(now))


def course(
    model: FleetModel, begin: int, end: int, views: Callable[[float], list[TargetView]]
) -> dict[int, float | None]:
    """The number of the only model there is, by time, evaluation after evaluation."""
    return {now: one(model, float(now), views(float(now))).replicas_required for now in range(begin, end, STEP)}


def test_rates_add_and_the_hottest_engine_shows() -> None:
    """λ and μ are sums, ρ is λ over μ, and one hot replica is not hidden by the sum."""
    replicas = [*steady(3, 2.0), Replica("hot", -1000.0, [(-1000.0, 4.0)])]
    view = settled(FleetModel(OPTIONS), 0.0, lambda now: [r.view(now) for r in replicas])
    assert view.model_arrival_rate == pytest.approx(10.0)
    assert view.model_service_rate == pytest.approx(20.0)
    assert view.model_utilization == pytest.approx(0.5)
    assert view.model_imbalance_ratio == pytest.approx(0.8 / 0.5)
    assert view.replicas_required == 3.0  # 10 / (5 × 0.8) = 2.5


def test_the_number_is_made_every_fifteen_seconds_however_often_it_is_asked_for() -> None:
    """In between it stands, so that who asks often gets no other answer than who asks seldom."""
    often, seldom = FleetModel(OPTIONS), FleetModel(OPTIONS)
    replicas = steady(3, 2.0)
    for replica in replicas:
        replica.changes.append((300.0, 9.0))
    seen = {now: one(often, float(now), [r.view(float(now)) for r in replicas]) for now in range(900)}
    for now, number in course(seldom, 0, 900, lambda now: [r.view(now) for r in replicas]).items():
        assert {seen[now + more].replicas_required for more in range(STEP)} == {number}


def test_with_other_windows_all_times_are_longer_or_shorter_in_the_same_ratio() -> None:
    """The demo's longest window is 30 s: a number after 6 s, and a fall half a minute after the need."""
    model = FleetModel(CoreOptions({"7.5s": 7.5, "30s": 30.0}, scale_up_seconds=24.0))
    found: list[float | None] = []
    for place in range(500):
        rate = 9.0 if place < 200 else 2.0
        view = Replica("pod", -10_000.0, [(-10_000.0, rate)]).view(0.0)
        (engine,) = view.engines
        estimates = {w: Estimate(rate, rate - 0.1, rate + 0.1, Reason.OK) for w in ("7.5s", "30s")}
        engine = replace(engine, arrival_rate=KeyedEstimate.of(estimates))
        found.append(one(model, 0.25 * place, [replace(view, engines=(engine,))]).replicas_required)
    assert found[20] is None
    assert found[30] == 3.0
    assert found[200 + 4 * 30] == 3.0
    assert found[-1] == 1.0


def test_the_sum_stays_true_while_a_replica_leaves_and_another_comes() -> None:
    """With steady traffic in total, neither a departure nor an arrival moves the number, or λ for long."""
    model = FleetModel(OPTIONS)
    old = steady(5, 2.0)
    new = Replica("new", 900.0, [(900.0, 2.0)])
    for replica in old[:4]:
        replica.changes += [(300.0, 2.5), (900.0, 2.0)]  # pod-4 goes at 300 s, and another comes at 900 s
    rates, numbers = [], set()
    for now in range(0, 1800, STEP):
        present = old if now < 300 else old[:4] if now < 900 else [*old[:4], new]
        view = one(model, float(now), [r.view(float(now)) for r in present])
        rates.append(view.model_arrival_rate or 0.0)
        numbers.add(view.replicas_required)
    assert min(rates) > 9.5  # 2 of 10 are missing for a minute of six
    assert max(rates) < 10.001
    assert rates[-1] == pytest.approx(10.0)
    assert numbers == {None, 3.0}


def test_a_restart_of_a_server_does_not_lower_the_number() -> None:
    """Counters that begin again make the engine young: what it had before counts until it has a λ of its own."""
    model, replicas = FleetModel(OPTIONS), steady(4, 2.0)

    def views(now: float) -> list[TargetView]:
        young = Replica("pod-0", 300.0, [(300.0, 2.0)])
        return [r.view(now) for r in [young if now >= 300 else replicas[0], *replicas[1:]]]

    assert set(course(model, 60, 900, views).values()) == {None, 2.0}


@pytest.mark.parametrize("every", [120, 210, 600])
def test_an_engine_that_crashes_again_and_again_does_not_keep_the_number_up(every: int) -> None:
    """The load falls to a third: twelve minutes later the number is what that needs, with the crashing one's share."""
    model, replicas = FleetModel(OPTIONS), steady(5, 3.0)
    for replica in replicas:
        replica.changes.append((900.0, 1.0))

    def views(now: float) -> list[TargetView]:
        begun = now - now % every
        crashing = Replica("loop", begun + 30, [(begun + 30, 1.0)])
        return [*(r.view(now) for r in replicas), crashing.view(now, stale=now < begun + 30)]

    numbers = course(model, 0, 2400, views)
    assert numbers[885] in {4.0, 5.0}  # 15 to 18 / (5 × 0.8)
    assert {numbers[now] for now in numbers if now >= 900 + 720} <= {2.0}  # 5 to 6 / (5 × 0.8)


def test_a_starting_replica_is_no_capacity_and_takes_nothing_from_the_number() -> None:
    """One engine of five has no λ of its own; the load of the others falls, and with it the number."""
    replicas = steady(4, 3.0)
    for replica in replicas:
        replica.changes.append((300.0, 0.5))
    mute = Replica("mute", 301.0, [], service_rate=None)
    mute.mean = lambda _now, _seconds: None  # type: ignore[method-assign]
    model = FleetModel(OPTIONS)
    numbers = {}
    for now in range(0, 1200, STEP):
        present = [*replicas, mute] if now > 301 else replicas
        view = one(model, float(now), [r.view(float(now)) for r in present])
        numbers[now] = view.replicas_required
        assert view.model_service_rate == pytest.approx(20.0)
        assert view.model_engines["starting"] == (1.0 if 301 < now < 541 else 0.0)
    assert numbers[300] == 3.0
    assert numbers[300 + 600] == 1.0


def test_while_most_engines_are_stale_the_number_does_not_fall_and_after_ten_minutes_there_is_none() -> None:
    """The network to three of four engines breaks while the load of the fourth falls: 3, then nothing, never 1."""
    model, replicas = FleetModel(OPTIONS), steady(4, 3.0)
    replicas[0].changes.append((300.0, 0.1))
    numbers = course(
        model,
        0,
        2700,
        lambda now: [replicas[0].view(now), *(r.view(now, stale=now >= 300) for r in replicas[1:])],
    )
    assert {numbers[now] for now in numbers if 60 <= now < 285 + 595} == {3.0}
    assert {numbers[now] for now in numbers if now >= 285 + 600} == {None}


@pytest.mark.parametrize("cause", ["stale", "not listed"])
def test_engines_that_come_back_do_not_raise_the_number(cause: str) -> None:
    """Half of the engines are out of sight for 30 s: 30/(5 × 0.8) is 7.5 before and after, so 8 and no more."""
    model, replicas = FleetModel(OPTIONS), steady(10, 3.0)

    def views(now: float) -> list[TargetView]:
        away = replicas[:5] if 300 <= now < 330 else []
        return [r.view(now, stale=r in away) for r in replicas if cause == "stale" or r not in away]

    assert set(course(model, 60, 1800, views).values()) == {None, 8.0}


def test_stale_engines_do_not_keep_the_number_from_rising() -> None:
    """One engine cannot be read while the others' load triples: more replicas are asked for within two minutes."""
    model, replicas = FleetModel(OPTIONS), steady(4, 2.0)
    for replica in replicas[:3]:
        replica.changes.append((300.0, 6.0))
    numbers = course(
        model, 0, 900, lambda now: [*(r.view(now) for r in replicas[:3]), replicas[3].view(now, stale=now >= 300)]
    )
    assert numbers[300] == 2.0
    assert numbers[420] == 5.0  # 18 / (5 × 0.8) = 4.5


def test_targets_that_were_never_read_hold_the_number_back_for_as_long_as_a_start_takes() -> None:
    """A daemon that has read two of four targets does not say what is needed as if it were all; later it does."""
    unread, replicas = TargetView("dark", False, None, None), steady(2, 3.0)
    numbers = course(FleetModel(OPTIONS), 0, 600, lambda now: [*(r.view(now) for r in replicas), unread])
    assert {numbers[now] for now in numbers if now < 240 + 60} == {None}
    assert {numbers[now] for now in numbers if now >= 240 + 60} == {2.0}


def test_an_engine_of_a_state_file_is_waited_for_like_any_target_that_was_never_read() -> None:
    """Its server may be long gone: the others' number is there after the time of a start, and rises and falls."""
    dark = Target("dark", OPTIONS, Settings())
    dark.restore([{"model_name": "m", "engine": "0", **EngineEstimator(OPTIONS).dump()}], 0.0)
    assert dark.dump()
    replicas = steady(4, 3.0)
    numbers = course(FleetModel(OPTIONS), 0, 600, lambda now: [*(r.view(now) for r in replicas), dark.view(now)])
    assert {numbers[now] for now in numbers if now < 240 + 60} == {None}
    assert {numbers[now] for now in numbers if now >= 240 + 60} == {3.0}  # 12 / (5 × 0.8)


def test_engines_without_a_view_are_counted_by_what_hides_them() -> None:
    """Stale ones as stale; those whose turn has not come as starting, and until it has nothing is sized."""
    (replica,) = steady(1, 2.0)

    def views(now: float) -> list[TargetView]:
        hidden = {"withheld": ("m", "m"), "unviewed": ("m", "m", "m")}
        return [replica.view(now), TargetView("others", True, 0.1, 0.1, **hidden)]

    view = settled(FleetModel(OPTIONS), 0.0, views)
    assert view.model_engines == {"serving": 1.0, "starting": 3.0, "stale": 2.0}
    assert view.replicas_required is None


def test_idle_engines_need_no_replica() -> None:
    """λ = 0 all over asks for 0, even while no μ was ever learnt: an autoscaler may go to its least number."""
    replicas = steady(3, 0.0, service_rate=None)
    view = settled(FleetModel(OPTIONS), 0.0, lambda now: [r.view(now) for r in replicas])
    assert view.replicas_required == 0.0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.8, 3.1])
def test_on_a_steady_load_the_number_is_the_load_over_what_a_replica_serves_at_the_target(share: float) -> None:
    """⌈λ/(μ·target)⌉ from the first minutes on, overload included."""
    replicas = steady(1, share * 5.0)
    numbers = course(FleetModel(OPTIONS), 0, 1800, lambda now: [r.view(now) for r in replicas])
    assert {numbers[now] for now in numbers if now >= 60} == {float(math.ceil(share / 0.8))}


def test_what_is_not_valid_sizes_no_fleet() -> None:
    """A μ that other numbers refute is used for nothing: the last number stands for ten minutes, then there is none."""
    replicas = steady(2, 3.0)

    def views(now: float) -> list[TargetView]:
        found = [r.view(now) for r in replicas]
        if now < 300:
            return found
        refuted = KeyedEstimate(verdict=Reason.CAPACITY_REFUTED)
        return [replace(t, engines=(replace(t.engines[0], utilization=refuted),)) for t in found]

    numbers = course(FleetModel(OPTIONS), 0, 1200, views)
    assert {numbers[now] for now in numbers if 60 <= now < 285 + 595} == {2.0}
    assert {numbers[now] for now in numbers if now >= 285 + 600} == {None}


def test_data_parallel_engines_are_queues_of_their_own_and_one_replica() -> None:
    """Two engines behind each of two targets: λ and μ are of four engines, the number is of servers."""
    views = []
    for target in ("a", "b"):
        pair = [Replica(target, -1000.0, [(-1000.0, 3.0)]).view(0.0).engines[0] for _ in range(2)]
        views.append(TargetView(target, True, 0.1, 0.1, (pair[0], replace(pair[1], engine="1"))))
    view = settled(FleetModel(OPTIONS), 0.0, lambda _: views)
    assert view.model_engines["serving"] == 4.0
    assert view.replicas == 2.0
    assert view.model_service_rate == pytest.approx(20.0)
    assert view.replicas_required == 2.0  # 12 / (5 × 0.8) = 3 engines, in servers of two


def test_prefill_and_decode_are_sized_apart_and_the_slower_pool_binds() -> None:
    """Each role has its own λ, μ and number; the one with the higher ρ binds, and both μ give the best split."""
    prefill = [Replica(f"p{i}", -1000.0, [(-1000.0, 3.0)], service_rate=10.0, role="prefill") for i in range(4)]
    decode = [Replica(f"d{i}", -1000.0, [(-1000.0, 3.0)], service_rate=4.0, role="decode") for i in range(4)]
    model = FleetModel(OPTIONS)
    for now in range(0, 120, STEP):
        views = model.update(float(now), [r.view(float(now)) for r in [*prefill, *decode]])
    by_role = {v.role: v for v in views}
    assert by_role["prefill"].replicas_required == 2.0
    assert by_role["decode"].replicas_required == 4.0
    assert by_role["decode"].model_binding_role == 1.0
    assert by_role["prefill"].model_binding_role is None
    # min(2·10, 6·4) = 20 requests/s where 4 and 4 sustain 16
    assert (by_role["prefill"].model_recommended_engines, by_role["decode"].model_recommended_engines) == (2.0, 6.0)


@given(st.integers(2, 60), st.floats(0.01, 100), st.floats(0.01, 100))
def test_no_split_beats_the_recommended_one(engines: int, prefill: float, decode: float) -> None:
    """The split uses every engine, gives each role one, and none other sustains more."""
    n, m = best_split(engines, prefill, decode)
    assert n >= 1 and m >= 1 and n + m == engines
    assert min(n * prefill, m * decode) == max(min(k * prefill, (engines - k) * decode) for k in range(1, engines))


def test_a_part_of_the_fleet_makes_no_models() -> None:
    """A process that watches a shard says nothing of whole models."""
    fleet = Fleet(CoreOptions(whole_fleet=False))
    fleet.add("a")
    assert fleet.view(0.0).models == ()
