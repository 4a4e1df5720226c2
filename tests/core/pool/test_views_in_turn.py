"""With many targets views are made one after another, and the fleet knows which have not had their turn."""

from __future__ import annotations

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.target import Target
from kvwatch.facts import EngineKey, EngineSample, Scrape
from tests.core.pool.test_fleet_model import OPTIONS
from tests.core.synthetic import SEATS_KNOWN, START, SyntheticEngine, poisson


@pytest.mark.long
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


@pytest.mark.long
def test_until_every_engine_has_been_viewed_once_there_is_no_number_of_replicas() -> None:
    """With many targets views come one by one: those without their turn are starting, not absent from the traffic."""
    fleet, engine = Fleet(OPTIONS), SyntheticEngine(poisson(3, 200))
    for target in range(20):
        fleet.add(str(target), SEATS_KNOWN)

    def scraped(second: int) -> None:
        """All twenty have the same load."""
        engine.advance(START + second)
        for target in range(20):
            fleet.observe(str(target), Scrape(START + second, (engine.sample(),)))

    for second in range(1, 181):
        scraped(second)
    now = START + 180.5
    for turn in range(1, 20):
        assert fleet.keep_views(now)
        (model,) = fleet.view(now).models
        assert model.replicas_required is None
        assert model.model_engines == {"serving": float(turn), "starting": 20.0 - turn, "stale": 0.0}
    for second in range(181, 271):
        scraped(second)
        for _ in range(20 if second % 10 == 0 else 0):
            fleet.keep_views(START + second + 0.5)
        (model,) = fleet.view(START + second + 0.5).models
    assert model.replicas_required is not None
    assert model.model_engines["serving"] == 20


def test_of_many_targets_a_few_are_looked_at_for_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within three hundred times each has been looked at once."""
    looked: list[str] = []
    monkeypatch.setattr(Target, "take_due_runs", lambda target, _now: looked.append(target.name) or [])
    fleet = Fleet(OPTIONS)
    for target in range(1_000):
        fleet.add(str(target))
    fleet.keep_views(0.0)
    for _ in range(300):
        before = len(looked)
        fleet.take_due_runs(0.0)
        assert len(looked) - before <= 4
    assert sorted(looked) == sorted(map(str, range(1_000)))
