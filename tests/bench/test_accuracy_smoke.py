"""The accuracy bench on little: its parts run, and its shortcuts say the same as the long way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.accuracy import cases, report
from bench.accuracy.drive import KEY, Drive, engine_sample
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.hardware import HARDWARE
from bench.accuracy.saturated import FullEngine, keep_full
from bench.accuracy.sweep import LOADS, loads_of
from bench.accuracy.true_clock import KINDS, TrueClock, Truth
from bench.accuracy.workloads import Drawn, composition
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Segment, arrivals


@pytest.fixture(scope="module")
def engine() -> TrueEngine:
    """A quick engine of the design: short requests, seats that bind."""
    return next(e for e in design(30) if e.workload.name == "chat prefix 512" and e.settings.max_num_seqs <= 128)


@pytest.fixture(scope="module")
def full(engine: TrueEngine) -> FullEngine:
    """The engine when it is kept full."""
    return keep_full(engine, finished=500)


def test_a_longer_design_begins_with_the_shorter_one() -> None:
    """Engines do not change when more of them are asked for."""
    assert design(20)[:8] == design(8)


def test_each_limit_binds_in_a_fair_share_of_the_design() -> None:
    """No limit binds in less than a fifth of the engines."""
    limits = [min(e.concurrency, key=e.concurrency.__getitem__) for e in design(66)]
    assert all(limits.count(limit) >= 66 / 5 for limit in ("kv", "seqs", "tokens"))


def test_each_load_comes_equally_often_over_eight_engines() -> None:
    """Whatever the number of loads for each engine."""
    for count in (2, 4, 5, 8):
        drawn = [load for index in range(8) for load in loads_of(index, count)]
        assert {load: drawn.count(load) for load in LOADS} == dict.fromkeys(LOADS, count)


@pytest.mark.parametrize("kind", KINDS)
def test_true_laws_are_the_affine_one_but_for_their_bend(kind: str) -> None:
    """Every kind is within its stated departure from affine at full load, and each but the control departs."""
    hardware = HARDWARE[0]
    truth = Truth(kind, full_sequences=100, full_tokens=1e5, weight_seconds=hardware.weight_seconds)
    clock = TrueClock(hardware.law, truth)
    said = [clock.mean_seconds(n, p, k) / hardware.law.seconds(n, p, k) for n, p, k in ((3, 0, 2e3), (99, 500, 1e5))]
    assert all(0.8 < ratio < 1.25 for ratio in said)
    assert (kind == "affine") == all(ratio == pytest.approx(1) for ratio in said)


def test_a_composition_counts_a_shared_prefix_once() -> None:
    """Two requests behind one prompt of four blocks hold it once between them and compute none of it."""
    mean = composition([RequestShape(100, 10, 64), RequestShape(80, 20, 64)], 16, 1024)
    alone = composition([RequestShape(36, 10), RequestShape(16, 20)], 16, 1024)
    assert mean.held_once == 64
    assert replace(mean, held_once=0.0) == alone


def test_a_full_engine_serves_what_its_seats_and_step_time_allow(engine: TrueEngine, full: FullEngine) -> None:
    """Where seats bind, μ is seats over steps times step time, as flow conservation has it."""
    assert full.limits == ("seqs",)
    served = engine.settings.max_num_seqs / (engine.composition.steps * full.step_seconds)
    assert full.rate == pytest.approx(served, rel=0.03)


def test_facts_made_directly_are_those_parsed_from_the_exposition(engine: TrueEngine, full: FullEngine) -> None:
    """A sample put together from counters equals the one that goes through text."""
    stream = arrivals([Segment(20.0, full.rate / 2, full.rate / 2)], Drawn(engine.pool), seed=1)
    drive = Drive(engine, stream, seed=1, as_text=True)
    for at in (0.0, 5.0, 20.0):
        drive.run(at)
        (parsed,) = drive.scraped(at).engines
        assert parsed.key == KEY
        assert parsed == engine_sample(drive.engine)


def test_a_case_is_scored_and_shown(engine: TrueEngine, full: FullEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short phase at half load has an estimate with an interval, and the report has a line for it."""
    monkeypatch.setattr(cases, "PHASE_SECONDS", 60)
    outcome = cases.score(engine, full, (0.5,))[0]
    assert outcome.rate is not None
    assert outcome.lower is not None
    assert outcome.upper is not None
    assert outcome.lower < outcome.rate < outcome.upper
    assert outcome.error == pytest.approx(0, abs=0.5)
    assert outcome.limit == "seqs"
    assert engine.name in report.sweep([outcome])
