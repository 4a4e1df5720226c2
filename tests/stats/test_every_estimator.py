"""What holds for every streaming estimator of the package, found by looking: who adds one gets these tests with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.reflection import answers, cyclic_garbage
from tests.stats.estimators import FEEDS, KEPT, TAKERS, fed, made


def _restored(estimator: type, state: object) -> Any:
    """A new one with the state as it comes back from a file."""
    plain = json.loads(json.dumps(state))
    if hasattr(estimator, "load"):
        return estimator.load(plain)
    new = made(estimator)
    new.restore(plain)
    return new


def test_the_estimators_are_found() -> None:
    """Those that have been here longest; a list that is empty would let all of these tests pass."""
    assert {"BinnedCount", "ChangeDetector", "DecayingMax", "HeavyHitters", "StepRegression", "WindowedCount"} <= {
        c.__name__ for c in TAKERS
    }
    assert {"BinnedCount", "DecayingMax", "HeavyHitters", "StepRegression"} <= {c.__name__ for c in KEPT}


@pytest.mark.parametrize("estimator", TAKERS, ids=lambda c: c.__name__)
def test_before_any_data_nothing_is_known(estimator: type) -> None:
    """Every answer is None, empty, zero or no."""
    for name, answer in answers(made(estimator), FEEDS).items():
        if name in {"dump", TAKERS[estimator]}:
            continue
        plain = list(answer) if hasattr(answer, "__next__") else answer
        assert not plain, f"{estimator.__name__}.{name}: {plain}"


@pytest.mark.parametrize("estimator", KEPT, ids=lambda c: c.__name__)
@pytest.mark.parametrize("calls", [0, 1, 700])
def test_a_restored_state_is_the_one_that_was_dumped(estimator: type, calls: int) -> None:
    """Before any data too, and through JSON: what is dumped again is the same to the digit."""
    state = json.loads(json.dumps(made(estimator, calls).dump()))
    assert json.loads(json.dumps(_restored(estimator, state).dump())) == state


@pytest.mark.parametrize("estimator", KEPT, ids=lambda c: c.__name__)
def test_a_restored_estimator_goes_on_as_the_one_that_was_dumped(estimator: type) -> None:
    """Nothing that matters later is left out of the state: after as much again both have the same."""
    one = made(estimator, 700)
    other = _restored(estimator, one.dump())
    for each in (one, other):
        fed(each, range(700, 1400), seed=1)
    assert json.loads(json.dumps(other.dump())) == json.loads(json.dumps(one.dump()))


@pytest.mark.parametrize("estimator", TAKERS, ids=lambda c: c.__name__)
def test_what_is_kept_holds_no_cycles(estimator: type) -> None:
    """The garbage collector passes over what is old: a cycle in there would never be freed."""
    assert cyclic_garbage(lambda: made(estimator, 1000)) == 0
