"""The congestion bench runs, and its results page says what its results say."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.congestion.embedded import outcome
from bench.congestion.mixes import LENGTHS, mixes
from bench.congestion.real import SEATS, pool
from bench.congestion.report import page

RESULTS = Path(__file__).parents[2] / "bench" / "results"


def test_forty_mixes_are_the_same_each_time() -> None:
    """And memory is what binds in each: the seats are never reached."""
    first, second = mixes(), mixes()
    assert first == second
    assert len(LENGTHS) == len(first) == 40
    for mix in first:
        s, o = mix.lengths
        assert mix.settings.kv_capacity_tokens / (s + o / 2).mean() < 0.5 * mix.settings.max_num_seqs


def test_one_mix_goes_through() -> None:
    """The cheapest of the fixed lengths: unstable, a wave of its output length, its loss predicted."""
    mix = next(m for m in mixes() if m.name == "fixed 200, 100")
    found = outcome(replace(mix, pool=mix.pool[:1]))
    assert found.verdict == "unstable"
    assert found.waves
    assert found.period == pytest.approx(100, rel=0.02)
    assert found.predicted_period == pytest.approx(100, rel=0.02)
    assert found.predicted_loss == pytest.approx(found.loss, abs=0.05)
    assert "fixed 200, 100" in page([asdict(found)], [])


def test_the_committed_page_is_made_from_the_committed_results() -> None:
    """Whoever changes one without the other is told; must-hold lines are checked on the numbers themselves."""
    rows = json.loads((RESULTS / "congestion.json").read_text(encoding="utf-8"))
    real = RESULTS / "congestion-real.jsonl"
    lines = [json.loads(line) for line in real.read_text(encoding="utf-8").splitlines()] if real.exists() else []
    assert (RESULTS / "congestion.md").read_text(encoding="utf-8") == page(rows, lines)
    decided = [r for r in rows if r["verdict"] != "undecided"]
    assert sum(r["waves"] == (r["verdict"] == "unstable") for r in decided) >= 0.9 * len(decided)
    assert all(abs(r["predicted_loss"] - r["loss"]) <= 0.05 for r in rows)
    assert all(r["gain"] >= -0.02 for r in rows)


def test_a_page_with_real_runs_pairs_them() -> None:
    """Gain, interval and evictions spared come from runs side by side."""
    run = {
        "part": "measure", "traffic": "fixed", "preemptions": 400.0, "p50_seconds": 20.0, "p95_seconds": 30.0,
        "step_seconds": 0.08, "running": 93.0, "running_deviation": 20.0,
    }  # fmt: skip
    capped = {**run, "seats": 65, "preemptions": 0.0, "step_seconds": 0.04, "p95_seconds": 24.0}
    real = []
    for rate in (6.0, 6.1):
        real += [{**run, "seats": SEATS, "requests_per_second": rate}, {**capped, "requests_per_second": 1.1 * rate}]
    text = page(json.loads((RESULTS / "congestion.json").read_text(encoding="utf-8")), real)
    assert "Throughput +10.0% (90% interval of 2 pairs +10.0% to +10.0%), 100% fewer preemptions, steps -50%" in text


def test_both_kinds_of_traffic_are_as_described() -> None:
    """64 requests each; the mixed ones within their ranges."""
    assert set(pool("fixed")) == {(64, 192)}
    assert len(pool("mixed")) == 64
    assert all(10 <= s <= 160 and 10 <= o <= 640 for s, o in pool("mixed"))
