"""The lengths of the traffic over a restart of kvwatch."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.core.synthetic import TARGET, SyntheticEngine, Watch, poisson

DUMPED = "mix"


@pytest.fixture(scope="module")
def watched() -> Watch:
    """Five minutes of an engine at work."""
    watch = Watch(SyntheticEngine(poisson(1.5, 400)))
    watch.run(300)
    return watch


def _restarted(watch: Watch, state: list[dict[str, object]]) -> Watch:
    """The same engine, watched anew with what was saved."""
    again = Watch(watch.engine)
    again.fleet.restore(TARGET, json.loads(json.dumps(state)))
    return again


def test_seconds_after_a_restart_the_service_rate_is_what_it_was(watched: Watch) -> None:
    """The mix need not be seen again: μ is there with the first scrapes, and no other one."""
    before = watched.view()
    after = _restarted(watched, watched.fleet.dump()[TARGET]).run(5)
    assert before.service_rate.value is not None and after.service_rate.value is not None
    assert after.service_rate.value == pytest.approx(before.service_rate.value, rel=0.05)


def test_without_a_saved_mix_there_is_no_service_rate_yet(watched: Watch) -> None:
    """What the first test sees comes from the state, and from nothing else."""
    state = [{**engine, DUMPED: None} for engine in watched.fleet.dump()[TARGET]]
    assert _restarted(watched, state).run(5).service_rate.value is None


def test_an_older_state_without_a_mix_restores(watched: Watch) -> None:
    """States from before the mix was kept."""
    state = [{k: v for k, v in engine.items() if k != DUMPED} for engine in watched.fleet.dump()[TARGET]]
    assert _restarted(watched, state).run(5).estimate_valid


@pytest.mark.parametrize(
    "damage",
    [
        7,
        {},
        {"spans": 7, "shape": [None, None]},
        {"spans": [[1.0, 2.0]], "shape": [None, None]},
        {"spans": [[1.0, -2.0, 1, 1, 1, None, 1, 1, None]], "shape": [None, None]},
        {"spans": [[1.0, None, 1, 1, 1, None, 1, 1, None]], "shape": [None, None]},
        {"spans": [], "shape": [{"edges": [2.0, 1.0], "counts": [1, 1]}, None]},
        {"spans": [], "shape": [{"edges": [1.0], "counts": [-1]}, None]},
        {"spans": [], "shape": [{"edges": [1.0, 2.0], "counts": [1]}, None]},
        {"spans": [], "shape": [None]},
        {"spans": [[float(random.Random(1).random())] * 9] * 1000, "shape": [None, None]},
    ],
)
def test_a_damaged_mix_is_refused_with_one_of_three_errors(watched: Watch, damage: Any) -> None:
    """The state file's reader catches these, and says so."""
    state = [{**engine, DUMPED: damage} for engine in watched.fleet.dump()[TARGET]]
    with pytest.raises((ValueError, KeyError, TypeError)):
        _restarted(watched, state)


def test_the_saved_mix_is_small(watched: Watch) -> None:
    """A hundred spans at most, whatever the traffic."""
    (engine,) = watched.fleet.dump()[TARGET]
    assert len(json.dumps(engine[DUMPED])) < 20_000
