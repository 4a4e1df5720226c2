"""The accuracy bench on little: its parts run, and its shortcuts say the same as the long way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.accuracy import report, simulate
from bench.accuracy.drive import KEY, Drive, engine_sample
from bench.accuracy.engines import TrueEngine, design
from bench.accuracy.moe_engines import HELD_OUT_SYSTEMS, MIXES, moe_design
from bench.accuracy.moe_systems import SYSTEMS
from bench.accuracy.saturated import FullEngine, keep_full
from bench.accuracy.snapshot import Reader
from bench.accuracy.sweep import LOADS, Job, jobs_of, loads_of, outcomes_of
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


def test_mixtures_of_experts_are_of_many_systems_and_a_third_of_those_is_held_out() -> None:
    """Every system meets every mix, but for one whose memory is too small; what is held out never comes unasked."""
    engines = moe_design()
    assert len(engines) == len(SYSTEMS) * len(MIXES) >= 40
    assert len(HELD_OUT_SYSTEMS) * 3 == len(SYSTEMS)
    tuned = jobs_of("moe", names_known=(True,), held_out=False)
    assert 0 < len(tuned) < len(engines)
    assert not any(job.engine.system in HELD_OUT_SYSTEMS for job in tuned)
    assert len(jobs_of("moe", names_known=(True,), held_out=True)) == len(engines)


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
    """A sample put together from counters equals the one that goes through text, but for what no estimator reads."""
    stream = arrivals([Segment(20.0, full.rate / 2, full.rate / 2)], Drawn(engine.pool), seed=1)
    drive = Drive(engine, stream, seed=1, as_text=True)
    for at in (0.0, 5.0, 20.0):
        drive.run(at)
        (parsed,) = drive.scraped(at).engines
        assert parsed.key == KEY
        unread = {"first_token_seconds": None, "inter_token_seconds": None, "queue_seconds": None}
        assert replace(parsed, **unread) == engine_sample(drive.engine)


def test_a_case_is_scored_under_both_names_and_shown(
    engine: TrueEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A short phase at half load has an estimate with an interval, and the report has a line for it."""
    monkeypatch.setattr(simulate, "PHASE_SECONDS", 60)
    outcomes = outcomes_of(Job(engine, (0.5,), (True, False), tmp_path))
    assert [outcome.name_known for outcome in outcomes] == [True, False]
    for outcome in outcomes:
        assert outcome.rate is not None
        assert outcome.lower is not None
        assert outcome.upper is not None
        assert outcome.lower < outcome.rate < outcome.upper
        assert outcome.error == pytest.approx(0, abs=0.5)
        assert outcome.limit == "seqs"
    assert engine.name in report.design("dense", outcomes)


def test_a_run_from_disk_is_the_run(engine: TrueEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is read back is what was simulated, to the last bit; another engine is another file."""
    monkeypatch.setattr(simulate, "PHASE_SECONDS", 20)
    runs = [simulate.obtain(engine, (0.5,), tmp_path) for _ in range(2)]
    assert len(list(tmp_path.iterdir())) == 1
    assert runs[0].full == runs[1].full
    assert runs[0].modelled == runs[1].modelled
    assert np.array_equal(runs[0].trace.rows, runs[1].trace.rows)
    simulate.obtain(replace(engine, burstiness=1.25), (0.5,), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_shows_what_a_live_engine_shows(engine: TrueEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapes of a stored run are those that a watcher of the engine itself gets."""
    monkeypatch.setattr(simulate, "PHASE_SECONDS", 20)
    run = simulate.obtain(engine, (0.5,), None)
    phase, rate = run.phases[0], run.full.rate / 2
    stream = arrivals(
        [Segment(phase.start, rate, rate), Segment(phase.end - phase.start, rate, rate)],
        Drawn(engine.pool),
        seed=1000 * engine.index + 50,
        burstiness=engine.burstiness,
    )
    drive = Drive(engine, stream, seed=1000 * engine.index + 50)
    stored = list(run.trace.scrapes(Reader(engine.settings, KEY), phase.start, phase.end))
    for second, scrape in enumerate(stored):
        drive.run(phase.start + second)
        assert drive.scraped(phase.start + second) == scrape
