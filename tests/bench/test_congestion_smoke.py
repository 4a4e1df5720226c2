"""The congestion bench runs, and its results page says what its results say."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from bench.congestion.__main__ import CLASSES, EMBEDDED, read, real_runs
from bench.congestion.classes import CLASS_MIXES, class_mixes, class_outcome
from bench.congestion.embedded import outcome, predicted
from bench.congestion.mixes import LENGTHS, mixes
from bench.congestion.real import SEATS, pool
from bench.congestion.report import page

MADE = {"date": "2026-01-01", "commit": "abc"}


def rows() -> list[dict[str, Any]]:
    """The forty mixes' committed results."""
    return read(EMBEDDED)


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
    assert "fixed 200, 100" in page([asdict(found)], [], [], MADE)


def test_the_committed_predictions_are_those_of_the_shipped_criterion() -> None:
    """Three of each table, computed anew."""
    for path, known in ((EMBEDDED, mixes()), (CLASSES, class_mixes())):
        for row, mix in list(zip(read(path), known, strict=True))[5::17]:
            found = predicted(mix)
            assert (row["name"], row["verdict"]) == (mix.name, found.verdict)
            assert row["growth"] == pytest.approx(found.growth, rel=1e-6)


def test_waves_are_predicted_in_nine_of_ten_of_the_forty_mixes() -> None:
    """Of those that are decided, and at least thirty are; their losses within 5 points."""
    decided = [r for r in rows() if r["verdict"] != "undecided"]
    assert len(decided) >= 30
    assert sum(r["waves"] == (r["verdict"] == "unstable") for r in decided) >= 0.9 * len(decided)
    assert all(abs(r["predicted_loss"] - r["loss"]) <= 0.05 for r in rows())


def test_no_random_mix_of_classes_that_is_called_stable_makes_waves() -> None:
    """And of those called unstable more than half do, against fewer than one in ten of all others."""
    classes = read(CLASSES)
    unstable = [r["waves"] for r in classes if r["verdict"] == "unstable"]
    others = [r["waves"] for r in classes if r["verdict"] != "unstable"]
    assert not any(r["waves"] for r in classes if r["verdict"] == "stable")
    assert sum(unstable) > 0.5 * len(unstable)
    assert sum(others) < 0.1 * len(others)


def test_periods_of_waves_are_predicted_within_a_tenth() -> None:
    """But for one mix, whose outputs of 100 and 200 let both a wave of 100 and one of 200 steps grow."""
    waves = [r for r in rows() if r["waves"] and r["verdict"] == "unstable"]
    late = [r["name"] for r in waves if abs(r["predicted_period"] / r["period"] - 1) > 0.1]
    assert len(waves) >= 15
    assert late == ["two: 50, 100 or 200"]


def test_recommended_caps_never_lose_two_percent_and_are_told_often() -> None:
    """Where none is told nothing is gained or lost; so only those that are told count, and they are most."""
    told = [r for r in rows() if r["cap"] is not None]
    assert len(told) >= 20
    assert all(r["gain"] >= -0.02 for r in told)


@pytest.mark.parametrize(("traffic", "spared", "gain"), [("fixed", 0.9, 0.10), ("mixed", 0.7, 0.0)])
def test_a_real_server_gained_by_the_recommendation(traffic: str, spared: float, gain: float) -> None:
    """Three pairs of runs: throughput, preemptions, steps, and a 90% interval that does not lie below zero."""
    runs = [r for r in real_runs() if r["part"] == "measure" and r["traffic"] == traffic]
    before, after = ([r for r in runs if (r["seats"] == SEATS) is default] for default in (True, False))
    assert len(before) == len(after) >= 3
    gains = np.array(
        [b["requests_per_second"] / a["requests_per_second"] - 1 for a, b in zip(before, after, strict=True)]
    )
    half = student.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    assert gains.mean() >= gain
    assert gains.mean() + half >= 0
    assert 1 - sum(r["preemptions"] for r in after) / sum(r["preemptions"] for r in before) >= spared
    assert all(b["step_seconds"] < a["step_seconds"] for a, b in zip(before, after, strict=True))


def test_a_page_with_real_runs_pairs_them() -> None:
    """Gain, interval and evictions spared come from runs side by side."""
    run = {
        "at": 0, "part": "measure", "traffic": "fixed", "preemptions": 400.0, "p50_seconds": 20.0, "p95_seconds": 30.0,
        "step_seconds": 0.08, "running": 93.0, "running_deviation": 20.0,
    }  # fmt: skip
    capped = {**run, "seats": 65, "preemptions": 0.0, "step_seconds": 0.04, "p95_seconds": 24.0}
    real = []
    for rate in (6.0, 6.1):
        real += [{**run, "seats": SEATS, "requests_per_second": rate}, {**capped, "requests_per_second": 1.1 * rate}]
    text = page(rows(), read(CLASSES), real, MADE)
    assert "Throughput +10.0% (90% interval of 2 pairs +10.0% to +10.0%), 100% fewer preemptions, steps -50%" in text


def test_one_mix_of_classes_goes_through() -> None:
    """The one with the shortest lives; the committed row is what it gives."""
    known = class_mixes()
    assert known == class_mixes()
    assert len(known) == CLASS_MIXES
    number = min(range(len(known)), key=lambda n: known[n].lifetime)
    found, kept = class_outcome(known[number]), read(CLASSES)[number]
    assert found.name == kept["name"]
    assert found.waves == kept["waves"]
    assert found.preemptions_per_finished == pytest.approx(kept["preemptions_per_finished"])
    assert found.synchronisation == pytest.approx(kept["synchronisation"], abs=1e-6)


def test_both_kinds_of_traffic_are_as_described() -> None:
    """64 requests each; the mixed ones within their ranges."""
    assert set(pool("fixed")) == {(64, 192)}
    assert len(pool("mixed")) == 64
    assert all(10 <= s <= 160 and 10 <= o <= 640 for s, o in pool("mixed"))
