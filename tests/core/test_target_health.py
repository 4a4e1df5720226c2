"""What is said of a target with which something is wrong: the nearest cause first."""

from __future__ import annotations

import pytest

from kvwatch.core.engine_state import EngineState
from kvwatch.core.target_health import NO_METRICS, hung_engines, problem_of
from kvwatch.facts import EngineKey, EngineSample, Scrape, ScrapeFailed

KEY = EngineKey("m", "3")
WELL = Scrape(at=10.0, engines=(EngineSample(KEY),))
FAILED = ScrapeFailed(at=11.0, reason="timeout", detail="no answer in 5 s")


@pytest.mark.parametrize(
    ("last", "failure", "stale", "said"),
    [
        (None, None, False, "not scraped yet"),
        (None, FAILED, False, "timeout: no answer in 5 s"),
        (WELL, FAILED, True, "timeout: no answer in 5 s"),
        (WELL, ScrapeFailed(at=11.0, reason="timeout", detail=""), False, "timeout"),
        (WELL, None, True, "stale"),
        (WELL, None, False, ""),
        (Scrape(at=10.0, engines=()), None, False, NO_METRICS),
        (Scrape(at=10.0, engines=(), refusal="it is asleep"), None, False, "it is asleep"),
    ],
)
def test_the_nearest_cause_is_named(last: Scrape | None, failure: ScrapeFailed | None, stale: bool, said: str) -> None:
    """A failure since the last good scrape, else none yet, else its age, else what it shows."""
    assert problem_of(last, failure, {}, stale=stale) == said


def test_an_engine_that_hangs_is_named_and_shown_as_long_as_its_server_answers() -> None:
    """By its number, and with its state and nothing else."""
    assert problem_of(WELL, None, {KEY: 10.0}, stale=False).startswith("engine 3 shows requests inside")
    assert problem_of(WELL, None, {KEY: 10.0}, stale=True) == "stale"
    (view,) = hung_engines("host:8000", {KEY: 10.0}, 13.0, 3.0)
    assert (view.target, view.model_name, view.engine) == ("host:8000", "m", "3")
    assert [state for state, holds in view.engine_state.items() if holds] == [EngineState.HUNG.value]
    assert hung_engines("host:8000", {KEY: 10.0}, 13.1, 3.0) == ()
