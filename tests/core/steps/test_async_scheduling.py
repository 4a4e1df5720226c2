"""The law of an engine's steps is the same whether it composes a step before or after the one before has ended."""

from __future__ import annotations

from math import log

import pytest

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Settings, SettingSource
from kvwatch.stats.normal import Z90
from kvwatch.stats.step_law_fit import LawFit
from tests.core.settings.scheduled import LAW, Server, lengths

SETTINGS = Settings(256, 2048, 16_384, "config", expert_ratio=0.0)
FULL = (70.0, 150.0, 2e4, 0.4)
"""Sequences, prompt tokens, resident tokens and the share of steps with prompts at about twice the load seen."""


def learnt(*, asynchronous: bool, rate: float, prompts: tuple[int, int]) -> LawFit:
    """The law after four minutes of an engine whose real one is known."""
    server = Server(256, 2048, 60_000, lengths(prompts, (60, 240)), [(240, rate)], asynchronous=asynchronous)
    engine = EngineEstimator(CoreOptions())
    engine.report({SettingSource.CONFIG: SETTINGS})
    for at, sample in server.samples():
        engine.observe(at, sample, 1)
    law = engine.law.get(at)
    assert law is not None
    return law


@pytest.mark.parametrize(("rate", "prompts"), [(8.0, (20, 120)), (6.0, (300, 900))], ids=["decoding", "prompts"])
def test_the_same_law_with_sync_or_async_scheduling(rate: float, prompts: tuple[int, int]) -> None:
    """Within a third of what it may be off, so that no answer depends on it; either interval holds the truth.

    With async scheduling a request's prefill holds a step more, and a prompt is counted a step later.
    """
    sync, async_ = (learnt(asynchronous=a, rate=rate, prompts=prompts) for a in (False, True))
    n, p, k, share = FULL
    for at in (FULL, (n / 2, p / 2, k / 2, share / 2), (n, 0.0, k, 0.0)):
        assert abs(log(async_.seconds(at) / sync.seconds(at))) < sync.relative_deviation(at) / 3
        for law in (sync, async_):
            assert abs(log(law.seconds(at) / LAW.seconds(*at[:3]))) < Z90 * law.relative_deviation(at)
