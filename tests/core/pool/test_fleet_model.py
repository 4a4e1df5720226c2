"""What a model's engines come to: sums, roles, and a number of replicas that an autoscaler can follow blindly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.core.pool.replicas_required import Need, Sizing
from kvwatch.core.pool.roles import best_split
from kvwatch.core.target import Target
from kvwatch.estimate import Estimate, KeyedEstimate
from kvwatch.facts import EngineKey, EngineSample, Scrape, Settings
from kvwatch.views import EngineView, ModelView, TargetView
from tests.core.synthetic import SEATS_KNOWN, START, SyntheticEngine, poisson

OPTIONS = CoreOptions(scale_up_seconds=240)


@dataclass
class Replica:
    """An engine whose share of the traffic changes in steps; its windows say what a true mean would."""

    name: str
    born: float
    changes: list[tuple[float, float]]
    """(time, λ from then on)."""
    service_rate: float | None = 5.0
    role: str = ""
    slope: float = 0.0

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
            arrival_rate=KeyedEstimate.of({w: Estimate(r, r * 0.95, r * 1.05) for w, r in rates.items()}),
            arrival_rate_slope=Estimate(self.slope, self.slope - 0.001, self.slope + 0.001),
            service_rate=Estimate(mu),
            utilization=KeyedEstimate({w: r / mu for w, r in rates.items()} if mu else {}),
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


def test_rates_add_and_the_hottest_engine_shows() -> None:
    """λ and μ are sums, ρ is λ over μ, and one hot replica is not hidden by the sum."""
    replicas = [*steady(3, 2.0), Replica("hot", -1000.0, [(-1000.0, 4.0)])]
    view = one(FleetModel(OPTIONS), 0.0, [r.view(0.0) for r in replicas])
    assert view.model_arrival_rate == pytest.approx(10.0)
    assert view.model_service_rate == pytest.approx(20.0)
    assert view.model_utilization == pytest.approx(0.5)
    assert view.model_imbalance_ratio == pytest.approx(0.8 / 0.5)
    assert view.replicas_required == 3.0  # 10 / (5 × 0.8) = 2.5


def test_the_sum_stays_true_while_a_replica_leaves_and_another_comes() -> None:
    """With steady traffic in total, neither a departure nor an arrival moves λ by a percent, or the number at all."""
    model = FleetModel(OPTIONS)
    rates, numbers = [], []
    old = steady(5, 2.0)
    new = Replica("new", 900.0, [(900.0, 2.0)])
    for replica in old[:4]:
        replica.changes += [(300.0, 2.5), (900.0, 2.0)]  # pod-4 goes at 300 s, and another comes at 900 s
    for now in range(0, 1800, 5):
        present = old if now < 300 else old[:4] if now < 900 else [*old[:4], new]
        view = one(model, float(now), [r.view(float(now)) for r in present])
        rates.append(view.model_arrival_rate)
        numbers.append(view.replicas_required)
    young = range(900 // 5, 960 // 5)  # until a minute of it is known, the new one's share is not counted
    assert [rate for i, rate in enumerate(rates) if i not in young] == pytest.approx(
        [10.0] * (len(rates) - 12), rel=0.01
    )
    assert set(numbers) == {3.0}


def test_a_restart_of_a_server_does_not_lower_the_number() -> None:
    """Counters that begin anew make the engine young again: what it had before fades, what it has now counts by age."""
    model = FleetModel(OPTIONS)
    replicas = steady(4, 2.0)
    numbers = set()
    for now in range(0, 900, 5):
        if now == 300:
            replicas[0] = Replica("pod-0", 300.0, [(300.0, 2.0)])
        numbers.add(one(model, float(now), [r.view(float(now)) for r in replicas]).replicas_required)
    assert numbers == {2.0}


def test_a_starting_replica_is_no_capacity_and_holds_the_number_for_the_time_that_a_start_takes() -> None:
    """While an engine has no λ of its own the number does not fall; once it should have one, it does."""
    model = FleetModel(OPTIONS)
    replicas = steady(4, 3.0)
    assert one(model, 0.0, [r.view(0.0) for r in replicas]).replicas_required == 3.0
    for replica in replicas:
        replica.changes.append((0.0, 0.5))
    mute = Replica("mute", 1.0, [], service_rate=None)
    mute.mean = lambda _now, _seconds: None  # type: ignore[method-assign]
    seen = {}
    for now in range(5, 900, 5):
        view = one(model, float(now), [r.view(float(now)) for r in [*replicas, mute]])
        seen[now] = view.replicas_required
        assert view.model_service_rate == pytest.approx(20.0)
        assert view.model_engines["starting"] == (1.0 if now < 241 else 0.0)
    assert seen[235] == 3.0
    assert seen[895] == 1.0


def test_stale_engines_never_lower_the_number_and_after_the_hold_there_is_none() -> None:
    """The network to three of four engines breaks while the load of the fourth falls: 3, then nothing, never 1."""
    model = FleetModel(OPTIONS)
    replicas = steady(4, 3.0)
    before = one(model, 0.0, [r.view(0.0) for r in replicas])
    assert before.replicas_required == 3.0
    replicas[0].changes.append((0.0, 0.1))
    numbers = [
        one(
            model, float(now), [replicas[0].view(float(now)), *(r.view(float(now), stale=True) for r in replicas[1:])]
        ).replicas_required
        for now in range(5, 1500, 5)
    ]
    assert numbers[: 300 // 5] == [3.0] * 60
    assert numbers[-1] is None
    assert set(numbers) == {3.0, None}


@pytest.mark.parametrize("cause", ["stale", "not listed"])
def test_engines_that_come_back_do_not_raise_the_number(cause: str) -> None:
    """Half of the engines are out of sight for 30 s: 30/(5 × 0.8) is 7.5 before and after, so 8 and no more."""
    model = FleetModel(OPTIONS)
    replicas = steady(10, 3.0)
    numbers, rates = set(), []
    for now in range(0, 1800, 5):
        away = replicas[:5] if 300 <= now < 330 else []
        views = [r.view(float(now), stale=r in away) for r in replicas if cause == "stale" or r not in away]
        view = one(model, float(now), views)
        numbers.add(view.replicas_required)
        rates.append(view.model_arrival_rate or 0.0)
    assert numbers == {8.0}
    assert max(rates) == pytest.approx(30.0)


def test_stale_engines_do_not_keep_the_number_from_rising() -> None:
    """One engine cannot be read while the others' load doubles: more replicas are asked for."""
    model = FleetModel(OPTIONS)
    replicas = steady(4, 2.0)
    one(model, 0.0, [r.view(0.0) for r in replicas])
    for replica in replicas[:3]:
        replica.changes.append((0.0, 6.0))
    last = [
        one(model, float(now), [*(r.view(float(now)) for r in replicas[:3]), replicas[3].view(0.0, stale=True)])
        for now in range(5, 1000, 5)
    ][-1]
    assert last.replicas_required == 5.0  # 18 / (5 × 0.8) = 4.5


def test_targets_that_were_never_read_hold_the_number_back_for_as_long_as_a_start_takes() -> None:
    """A daemon that has read two of four targets does not say what is needed as if it were all; later it does."""
    model = FleetModel(OPTIONS)
    unread = TargetView("dark", False, None, None)
    replicas = steady(2, 3.0)
    assert one(model, 0.0, [*(r.view(0.0) for r in replicas), unread]).replicas_required is None
    assert one(model, 300.0, [*(r.view(300.0) for r in replicas), unread]).replicas_required == 2.0


def test_an_engine_of_a_state_file_is_waited_for_like_any_target_that_was_never_read() -> None:
    """Its server may be long gone: the others' number is there after the time of a start, and rises and falls."""
    dark = Target("dark", OPTIONS, Settings())
    dark.restore([{"model_name": "m", "engine": "0", **EngineEstimator(OPTIONS).dump()}])
    assert dark.dump()
    model = FleetModel(OPTIONS)
    replicas = steady(4, 3.0)
    numbers = {
        now: one(model, float(now), [*(r.view(float(now)) for r in replicas), dark.view(float(now))]).replicas_required
        for now in range(0, 600, 5)
    }
    assert {numbers[now] for now in range(0, 240, 5)} == {None}
    assert {numbers[now] for now in range(240, 600, 5)} == {3.0}  # 12 / (5 × 0.8)


def test_idle_engines_need_no_replica() -> None:
    """λ = 0 all over asks for 0, even while no μ was ever learnt: an autoscaler may go to its least number."""
    view = one(FleetModel(OPTIONS), 0.0, [r.view(0.0) for r in steady(3, 0.0, service_rate=None)])
    assert view.replicas_required == 0.0


def test_a_sure_trend_asks_ahead_for_what_a_start_takes() -> None:
    """Traffic that grows by 0.01/s² needs, when a replica is up after 240 s, 3.9 requests/s more than the mean says."""
    replicas = steady(2, 2.0, slope=0.005)
    model = FleetModel(OPTIONS)
    one(model, -400.0, [r.view(-400.0) for r in replicas])
    view = one(model, 0.0, [r.view(0.0) for r in replicas])
    assert view.model_arrival_rate == pytest.approx(4.0)
    assert view.replicas_required == 2.0  # (4 + 3.9) / (5 × 0.8) = 1.98; without the trend 1


def test_a_trend_is_not_believed_while_replicas_come_or_go() -> None:
    """The four that stay take over the traffic of the fifth: their λ rises, the model's does not."""
    replicas = steady(5, 2.0)
    model = FleetModel(OPTIONS)
    one(model, 0.0, [r.view(0.0) for r in replicas])
    for replica in replicas[:4]:
        replica.slope, replica.changes = 0.005, [(-10_000.0, 2.0), (0.0, 2.5)]
    assert one(model, 100.0, [r.view(100.0) for r in replicas[:4]]).replicas_required == 3.0


def test_data_parallel_engines_are_queues_of_their_own_and_one_replica() -> None:
    """Two engines behind each of two targets: λ and μ are of four engines, the number is of servers."""
    views = []
    for target in ("a", "b"):
        pair = [Replica(target, -1000.0, [(-1000.0, 3.0)]).view(0.0).engines[0] for _ in range(2)]
        views.append(TargetView(target, True, 0.1, 0.1, (pair[0], replace(pair[1], engine="1"))))
    view = one(FleetModel(OPTIONS), 0.0, views)
    assert view.model_engines["serving"] == 4.0
    assert view.model_service_rate == pytest.approx(20.0)
    assert view.replicas_required == 2.0  # 12 / (5 × 0.8) = 3 engines, in servers of two


def test_prefill_and_decode_are_sized_apart_and_the_slower_pool_binds() -> None:
    """Each role has its own λ, μ and number; the one with the higher ρ binds, and both μ give the best split."""
    prefill = [Replica(f"p{i}", -1000.0, [(-1000.0, 3.0)], service_rate=10.0, role="prefill") for i in range(4)]
    decode = [Replica(f"d{i}", -1000.0, [(-1000.0, 3.0)], service_rate=4.0, role="decode") for i in range(4)]
    views = FleetModel(OPTIONS).update(0.0, [r.view(0.0) for r in [*prefill, *decode]])
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


def test_noise_about_a_whole_number_does_not_flap() -> None:
    """A need that wanders a few percent about 3 changes the number once at most."""
    sizing = Sizing(hold_seconds=600, calm_seconds=300)
    wobble = [3.0 + 0.12 * (-1) ** (t // 7) * ((t * 37) % 11) / 11 for t in range(4000)]
    numbers = [sizing.update(float(t), Need(need, 0.02), complete=True) for t, need in enumerate(wobble)]
    assert sum(a != b for a, b in pairwise(numbers)) <= 1


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), min_size=2, max_size=60))
def test_the_number_falls_only_when_all_is_known(steps: list[tuple[float, bool]]) -> None:
    """Whatever the needs are, no number that was made without knowing all is below the one before it."""
    sizing = Sizing(hold_seconds=600, calm_seconds=30)
    last: float | None = None
    for i, (need, complete) in enumerate(steps):
        number = sizing.update(10.0 * i, Need(need, 0.02), complete=complete)
        if not complete and number is not None:
            assert last is not None and number >= last
        last = number if number is not None else last


def test_a_part_of_the_fleet_makes_no_models() -> None:
    """A process that watches a shard says nothing of whole models."""
    fleet = Fleet(CoreOptions(whole_fleet=False))
    fleet.add("a")
    assert fleet.view(0.0).models == ()


def test_views_of_many_targets_are_made_one_after_another() -> None:
    """With ten turns a second a hundred targets each have a view of the last 10 s; few are seen as they are."""
    for count, oldest in ((100, 9.0), (10, 0.0)):
        fleet = Fleet(OPTIONS)
        for target in range(count):
            fleet.add(str(target))
        for second in range(1_000, 1_060):
            for target in range(count):
                sample = EngineSample(EngineKey("m", "0"), running=float(second), waiting=0.0)
                fleet.observe(str(target), Scrape(float(second), (sample,)))
            assert [fleet.keep_views(float(second)) for _ in range(10)] == [count == 100] * 10
        targets = fleet.view(1_059.0).targets
        ages = [1_059.0 - (t.engines[0].running_requests or 0.0) for t in targets]
        assert (min(ages), max(ages)) == (0.0, oldest)
        assert [t.estimates_age_seconds for t in targets] == ages
        assert fleet.view(1_070.0).targets[0].engines == ()


def test_a_view_is_made_once_for_each_scrape_and_none_before_the_first() -> None:
    """What has not changed is not computed again, nor what is seconds old; a target without a turn shows no engine."""
    fleet = Fleet(OPTIONS)
    for target in range(100):
        fleet.add(str(target))
    sample = EngineSample(EngineKey("m", "0"), running=1.0, waiting=0.0)
    for target in range(50):
        fleet.observe(str(target), Scrape(1_000.0, (sample,)))
    assert fleet.keep_views(1_000.0)
    shown = [t for t in fleet.view(1_001.0).targets if t.engines]
    assert [t.estimates_age_seconds for t in shown] == [1.0]
    fleet.remove("3" if shown[0].target != "3" else "4")
    assert sum(fleet.keep_views(1_001.0) for _ in range(200)) == 48
    assert len([t for t in fleet.view(1_001.0).targets if t.engines]) == 49
    for now, due in ((1_004.0, 0), (1_005.5, 1), (1_007.0, 44)):
        for target in range(5, 50):
            fleet.observe(str(target), Scrape(now, (sample,)))
        assert sum(fleet.keep_views(now) for _ in range(200)) == due


def test_until_every_engine_has_been_viewed_once_there_is_no_number_of_replicas() -> None:
    """With many targets views come one by one: those without their turn are starting, not absent from the traffic."""
    fleet, watches = Fleet(OPTIONS), []
    for target in range(20):
        watches.append(SyntheticEngine(poisson(3, 200, seed=target)))
        fleet.add(str(target), SEATS_KNOWN)
    for second in range(1, 181):
        for target, engine in enumerate(watches):
            engine.advance(START + second)
            fleet.observe(str(target), Scrape(START + second, (engine.sample(),)))
    now = START + 180.5
    for turn in range(1, 20):
        assert fleet.keep_views(now)
        (model,) = fleet.view(now).models
        assert model.replicas_required is None
        assert model.model_engines == {"serving": float(turn), "starting": 20.0 - turn, "stale": 0.0}
    assert fleet.keep_views(now)
    (model,) = fleet.view(now).models
    assert model.replicas_required is not None
    assert model.model_engines["serving"] == 20


def test_of_many_targets_a_few_are_looked_at_for_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within three hundred times each has been looked at once."""
    looked: list[str] = []
    monkeypatch.setattr(Target, "due_runs", lambda target, _now: looked.append(target.name) or [])
    fleet = Fleet(OPTIONS)
    for target in range(1_000):
        fleet.add(str(target))
    fleet.keep_views(0.0)
    for _ in range(300):
        before = len(looked)
        fleet.due_runs(0.0)
        assert len(looked) - before <= 4
    assert sorted(looked) == sorted(map(str, range(1_000)))
