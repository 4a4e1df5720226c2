"""The number of replicas over a restart of kvwatch: the last one stands until all is known again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.views import TargetView
from tests.core.pool.test_fleet_model import OPTIONS, STEP, one, settled, steady

START = 1_000_000.0


def restarted(model: FleetModel) -> FleetModel:
    """The model of a process that begins with what this one has saved."""
    found = FleetModel(OPTIONS)
    found.restore(json.loads(json.dumps(model.dump())))
    return found


def sized() -> FleetModel:
    """A model of four replicas whose 12 requests/s have needed three for five minutes, up to START."""
    model, replicas = FleetModel(OPTIONS), steady(4, 3.0)
    settled(model, START, lambda now: [r.view(now) for r in replicas])
    return model


def numbers(model: FleetModel, begin: float, rate: float, seconds: int) -> list[float | None]:
    """The number every 15 s from ``begin`` on, while two of four targets are read and the others never are."""
    unread = [TargetView(name, False, None, None) for name in ("dark-0", "dark-1")]
    replicas = steady(2, rate)
    return [
        one(model, begin + now, [*(replica.view(begin + now) for replica in replicas), *unread]).replicas_required
        for now in range(0, seconds, STEP)
    ]


def test_the_number_before_a_restart_stands_while_not_all_targets_are_read() -> None:
    """12 requests/s need 3; half of them alone need 2, which is taken when nothing is waited for any more."""
    model = sized()
    begin = START + 30
    assert restarted(model).dump() == model.dump() == {"m": {"": [3.0, START]}}
    found = numbers(restarted(model), begin, 3.0, 600)
    assert found[: 240 // STEP] == [3.0] * (240 // STEP)
    assert found[-1] == 2.0
    assert numbers(FleetModel(OPTIONS), begin, 3.0, 240) == [None] * (240 // STEP)
    assert numbers(restarted(model), begin, 9.0, 240)[-1] == 5.0  # 18 / (5 × 0.8): it rises


def test_a_number_is_of_no_use_when_the_hold_is_over() -> None:
    """After ten minutes, or where the clock was ahead, there is no number before all is known."""
    for begin in (START + 600, START - 1):
        assert numbers(restarted(sized()), begin, 3.0, 240) == [None] * (240 // STEP)


def test_what_is_not_seen_again_at_once_is_saved_again() -> None:
    """A process that ends before it has read anything loses nothing."""
    model = sized()
    again = restarted(model)
    again.update(START + 10, [TargetView("dark", False, None, None)])
    assert again.dump() == model.dump()


@pytest.mark.parametrize(
    "dumped",
    [
        {"m": {"": [3.0]}},
        {"m": {"": [3.5, 1.0]}},
        {"m": {"": [-1.0, 1.0]}},
        {"m": {"": [float("nan"), 1.0]}},
        {"m": {"": ["many", 1.0]}},
        {"m": {"": None}},
        {"m": [3.0, 1.0]},
    ],
)
def test_what_cannot_be_a_number_of_replicas_is_refused(dumped: Any) -> None:
    """Nothing of such a state is taken."""
    model = FleetModel(OPTIONS)
    with pytest.raises((ValueError, TypeError, AttributeError)):
        model.restore(dumped)
    assert model.dump() == {}
