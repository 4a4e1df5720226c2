"""What teaches the step law of an engine, and what it is told of the model."""

from __future__ import annotations

import pytest

from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.steps.law_learner import StepLawLearner
from kvwatch.facts import EngineKey, EngineSample, Iteration, Settings


def test_the_servers_own_log_of_its_steps_teaches_the_law() -> None:
    """Steps of 20 ms and 0.1 ms a sequence, one by one, between two scrapes: the law is theirs."""
    learner = StepLawLearner()
    sample = EngineSample(EngineKey("m", "0"), kv_usage_ratio=0.1)
    learner.update(Interval(start=0.0, end=1.0, sample=sample, kv_capacity=KvCapacity(1e5, 16, exact=True)))
    at = 1.0
    for index in range(6000):
        running = 10 + index // 100
        at += (seconds := 0.02 + 1e-4 * running)
        learner.update_iteration(Iteration(at, index, 0, 0, running, running, seconds, 0.1))
    law = learner.get(at)
    assert law is not None
    for running in (20.0, 60.0):
        assert law.seconds((running, 0.0, 1e4, 0.0)) == pytest.approx(0.02 + 1e-4 * running, rel=0.01)


@pytest.mark.parametrize(
    ("name", "configured", "ratio"),
    [
        ("mistralai/Mixtral-8x7B-v0.1", None, 2 / 8),
        ("mistralai/Mixtral-8x7B-v0.1", 0.0, 0.0),
        ("an alias", 8 / 128, 8 / 128),
        ("an alias", None, None),
    ],
)
def test_what_the_configuration_says_of_experts_wins_over_the_name(
    name: str, configured: float | None, ratio: float | None
) -> None:
    """An alias says nothing, and a name may be one that somebody chose: who configures it knows."""
    learner = StepLawLearner()
    sample = EngineSample(EngineKey(name, "0"))
    learner.update(Interval(start=0.0, end=1.0, sample=sample, settings=Settings(expert_ratio=configured)))
    assert learner._law._regression.expert_ratio == (None if ratio is None else pytest.approx(ratio))
