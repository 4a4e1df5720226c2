"""What teaches the step law of an engine, and what it is told of the model."""

from __future__ import annotations

import pytest

from kvwatch.core.interval import Interval
from kvwatch.core.steps.law_learner import StepLawLearner
from kvwatch.facts import EngineKey, EngineSample, Settings


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
