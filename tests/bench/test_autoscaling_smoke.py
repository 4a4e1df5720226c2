"""The autoscaling bench: flaps, equal GPU-hours, and that a short scenario goes through all of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.autoscaling import plot, report, score, store
from bench.autoscaling.policies import Policy, sweep
from bench.autoscaling.scenarios import ALL, KV_BOUND, SEATS_BOUND, Scenario
from bench.autoscaling.score import Total, at_equal_hours, flaps

MADE = {"date": "2026-01-01", "commit": "abc"}
SHORT = (
    Scenario("short", ((900.0, 0.5, 0.5), (300.0, 0.5, 1.6), (300.0, 1.6, 1.6)), KV_BOUND, 1),
    Scenario("short, seats bind", ((900.0, 0.5, 0.5), (300.0, 0.5, 0.5)), SEATS_BOUND, 2, "turns", steady=True),
)


def _total(gpu_hours: float, late: int, signal: str = "kv_usage") -> Total:
    return Total(Policy(signal, gpu_hours), 10_000, late, gpu_hours, 0, 0, 0)


def test_a_flap_is_a_change_of_direction_within_ten_minutes() -> None:
    """Steps in one direction are none, and neither is a return after longer."""
    assert flaps([]) == 0
    assert flaps([(0, 1, 2), (60, 2, 3), (120, 3, 5)]) == 0
    assert flaps([(0, 1, 2), (600, 2, 1), (1300, 1, 2)]) == 1
    assert flaps([(0, 3, 2), (30, 2, 4), (60, 4, 3)]) == 2


def test_equal_gpu_hours_are_interpolated_and_never_to_a_rivals_loss() -> None:
    """Between 1% and 0.01% at half way it is 0.1%; a setting that does better with fewer hours counts."""
    points = [_total(10.0, 100), _total(20.0, 1)]
    assert at_equal_hours(points, 15.0).late_share == pytest.approx(1e-3)
    assert at_equal_hours(points, 10.0).late_share == pytest.approx(1e-2)
    assert at_equal_hours([_total(5.0, 10), *points], 12.0).late_share == pytest.approx(1e-3)


def test_beyond_a_sweep_its_nearest_setting_counts_and_is_marked() -> None:
    """Fewer hours than the cheapest setting, or more than the dearest."""
    points = [_total(10.0, 100), _total(20.0, 1)]
    assert (at_equal_hours(points, 5.0).late_share, at_equal_hours(points, 5.0).beyond) == (0.01, True)
    assert (at_equal_hours(points, 25.0).late_share, at_equal_hours(points, 25.0).beyond) == (0.0001, True)
    assert not at_equal_hours(points, 15.0).beyond


def test_every_scenario_keeps_room_to_grow_and_some_are_steady_on_either_kind_of_engine() -> None:
    """No load needs more replicas than there may be."""
    assert all(load <= 5 for s in ALL for _, *loads in s.course for load in loads)
    assert {s.engine_index for s in ALL if s.steady} == {KV_BOUND, SEATS_BOUND}
    assert len(set(sweep())) == len(sweep())


def test_a_short_scenario_goes_through_cache_tables_and_picture(tmp_path: Path) -> None:
    """Two rivals' settings; a second time everything comes from the cache."""
    policies = [Policy("waiting", 10.0), Policy("kv_usage", 0.4)]
    pairs = [(s, p) for p in policies for s in SHORT]
    outcomes = {(s, p): o for s, p, o in store.obtain(pairs, 1, tmp_path)}
    again = {(s, p): o for s, p, o in store.obtain(pairs, 1, tmp_path)}
    assert outcomes == again
    assert len(list(tmp_path.glob("*.json"))) == len(pairs)
    text = report.markdown(outcomes, SHORT, "x.svg", MADE)
    assert "**HPA, requests waiting 10**" in text
    assert "| short, seats bind |" in text
    found = score.totals(outcomes, SHORT)
    assert [t.requests for t in found] == [found[0].requests] * 2
    assert ET.fromstring(plot.svg(found)).tag.endswith("svg")
