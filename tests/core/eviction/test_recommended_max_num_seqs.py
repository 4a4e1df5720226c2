"""The recommended max_num_seqs: what it gains in the embedded engine, and when nothing is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kvwatch.core.capacity.correction import Experiment
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.eviction.advice import advice
from kvwatch.core.eviction.recommended_max_num_seqs import Prescriber, prescribed, recommended_max_num_seqs
from kvwatch.core.eviction.seat_search import Prescription, prescribe, search
from kvwatch.core.eviction.wave import Congestion
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw
from kvwatch.estimate import Estimate, Reason
from kvwatch.queueing.congestion.stability import stability
from kvwatch.queueing.full_load import FullLoad
from kvwatch.stats.level_rates import Fall, Level
from kvwatch.stats.periodicity import Oscillation
from tests.core.capacity.evidence import correction, evidence, inputs

LAW = StepLaw(0.0168, 0.00032, 0.00027, 1.1e-6)
LOAD = FullLoad(0.0, (0.0, 0.0, 0.0), 0.0, 0.0)


def experiment(pool: list[RequestShape], seats: int = 256, law: StepLaw = LAW, steps: int = 4000) -> Experiment:
    """The server of the recordings, 511 blocks of 32 tokens, with some seats."""
    settings = SchedulerSettings.from_capacity(
        16_352, block_size_tokens=32, max_num_seqs=seats, max_num_batched_tokens=2048
    )
    return Experiment(pool, settings, law, steps, LOAD, "kv")


def sure(_a: Saturation, _b: Saturation) -> float:
    """A step law that is known well."""
    return 0.01


FIXED = [RequestShape(64, 192)]


def test_one_length_gets_the_seats_that_fit_to_their_ends() -> None:
    """M/(s + o) of them: no evictions, and more served; the recorded real server gained 16% that way."""
    found = prescribe(experiment(FIXED), 1000.0, sure)
    assert found.max_num_seqs is not None
    assert found.max_num_seqs == pytest.approx(64, abs=3)
    assert found.gain_ratio == pytest.approx(0.10, abs=0.03)
    assert found.gain_lower is not None
    assert 0 < found.gain_lower < found.gain_ratio
    _, _, capped = search(experiment(FIXED))
    assert capped.preemptions_per_finished == pytest.approx(0.0, abs=0.05)


def test_what_is_told_holds_in_a_longer_run_of_its_own() -> None:
    """Another seed, four times as long: the gain is there."""
    x = experiment(FIXED)
    found = prescribe(x, 1000.0, sure)
    assert found.max_num_seqs is not None
    assert found.gain_ratio is not None
    default, capped = (
        saturate(x.pool, replace(x.settings, max_num_seqs=seats), LAW, steps=16_000, seed=77).throughput_rps
        for seats in (256, found.max_num_seqs)
    )
    assert capped / default - 1 == pytest.approx(found.gain_ratio, abs=0.04)


def test_nothing_is_said_where_nothing_is_gained() -> None:
    """Seats that bind already, and steps that cost nothing more for being recomputed."""
    assert prescribe(experiment(FIXED, seats=60), 1000.0, sure).max_num_seqs is None
    free = StepLaw(0.02, 0.0, 0.0, 0.0)
    assert prescribe(experiment(FIXED, law=free), 1000.0, sure).max_num_seqs is None


def test_nothing_is_said_where_the_gain_is_not_sure() -> None:
    """The same gain with a step law that might be off by a tenth between the two batches."""
    assert prescribe(experiment(FIXED), 1000.0, lambda _a, _b: 0.1).max_num_seqs is None


def test_the_cap_named_before_is_kept_while_it_is_as_good() -> None:
    """A number that wanders would have people restart servers for nothing."""
    x = experiment(FIXED)
    first, _, _ = search(x)
    assert search(x, before=first + 1)[0] == first + 1
    assert search(x, before=first // 2)[0] == first


def test_a_search_is_due_seldom_and_only_with_inputs(full: FullEngineInputs) -> None:
    """At least so many seconds apart; without inputs the old advice falls."""
    prescriber = Prescriber(60.0)
    run = prescriber.take_due(0.0, lambda: full)
    assert run is not None
    assert run.inputs is full
    prescriber.prescription = Prescription(max_num_seqs=64, gain_ratio=0.1, gain_lower=0.05)
    assert prescriber.take_due(59.0, lambda: full) is None
    again = prescriber.take_due(60.0, lambda: full)
    assert again is not None
    assert again.before == 64
    assert prescriber.take_due(121.0, lambda: None) is None
    assert prescriber.prescription is None


@pytest.fixture
def full() -> FullEngineInputs:
    """Inputs of which only the identity matters."""
    return FullEngineInputs.__new__(FullEngineInputs)


def test_words_say_what_to_set_and_what_it_brings() -> None:
    """Cap, watermark, and that alike requests make waves; nothing where there is nothing."""
    wave = Oscillation(190.0, 0.9, -0.8, 0.2)
    alike = Congestion(stability=stability([64], [192]), wave=wave, preemptions_per_finished=1.0, loss_ratio=0.2)
    words = " ".join(advice(alike, Prescription(64, 0.14, 0.09, 0.05), 256))
    assert "--max-num-seqs 64 (now 256): about +14%" in words
    assert "at least +9%" in words
    assert "--watermark 0.01" in words
    assert "cost about 20% of the throughput" in words
    assert "spread out in time" in words
    assert "spread out in time" not in " ".join(advice(replace(alike, wave=None), Prescription(), 256))
    unsure = replace(alike, stability=replace(stability([64], [192]), growth_lower=1.1))
    assert "spread out in time" not in " ".join(advice(unsure, Prescription(), 256))
    assert advice(Congestion(), None, 256) == ()
    assert advice(Congestion(), Prescription(), 256) == ()


CROWDED = Fall(Level(128, 64, 1e5, 0.032, 0.02, 100), Level(505, 250, 4e5, 0.126, 0.02, 100), 0.25, 0.2)
"""Two levels that made about 4,000 tokens a second each; the gain is no ratio of theirs, so that it is told apart."""


def test_a_cap_that_steps_themselves_ask_for_is_recommended_with_its_reason() -> None:
    """Where no eviction costs anything, so that no search was made; the words say what was measured."""
    e = replace(evidence(), crowding=CROWDED)
    p = prescribed(None, e)
    assert p is not None
    assert (p.max_num_seqs, p.gain_ratio, p.gain_lower) == (128, 0.25, 0.2)
    said = recommended_max_num_seqs(p, e)
    assert said == Estimate(128, verdict=Reason.OK)
    words = " ".join(advice(Congestion(), p, 512))
    assert "505 decoding at once made 4008 tokens a second, 128 made 4000" in words
    assert "--max-num-seqs 128 (now 512)" in words


def test_what_steps_ask_for_is_unsure_as_long_as_it_may_be_chance() -> None:
    """A lower end below zero names no cap; a gain that is not worth a restart says nothing at all."""
    unsure = prescribed(None, replace(evidence(), crowding=replace(CROWDED, gain_lower=-0.01)))
    assert unsure is not None
    assert (unsure.max_num_seqs, unsure.unsure) == (None, True)
    assert prescribed(None, replace(evidence(), crowding=replace(CROWDED, gain_ratio=0.02))) is None


def test_a_search_that_found_a_cap_stands() -> None:
    """Evictions are dearer than a crowd; and without either nothing is changed."""
    searched = Prescription(64, 0.14, 0.09)
    assert prescribed(searched, replace(evidence(), crowding=CROWDED)) is searched
    assert prescribed(searched, evidence()) is searched
    assert prescribed(None, evidence()) is None


@pytest.mark.parametrize(
    ("requests", "evictions", "searched"), [(99.0, 0.5, False), (100.0, 0.5, True), (100.0, 0.02, False)]
)
def test_a_search_is_made_for_an_engine_that_would_evict_and_whose_traffic_is_known(
    requests: float, evictions: float, searched: bool
) -> None:
    """From a hundred requests on, and from two evictions in a hundred: less is not worth a restart."""
    known, run = inputs(), correction(0.9)
    known = replace(known, mix=replace(known.mix, demand=replace(known.mix.demand, requests=requests)))
    run = replace(run, saturation=replace(run.saturation, preemptions_per_finished=evictions))
    model = SimpleNamespace(can_prescribe=True, correction=run, full_load=SimpleNamespace(inputs=known))
    assert (Prescriber(60.0).take_due_run(0.0, model) is not None) is searched  # type: ignore[arg-type]


def test_where_no_cap_gains_anything_that_is_an_answer() -> None:
    """No number, and the verdict says that none is missing; else what it waits for, or why there can be none."""
    e = evidence()
    assert recommended_max_num_seqs(Prescription(), e) == Estimate(None, verdict=Reason.OK)
    assert recommended_max_num_seqs(Prescription(unsure=True), e).verdict is Reason.GAIN_UNSURE
    assert recommended_max_num_seqs(None, replace(e, correction=None)).verdict is Reason.DEPENDS
    assert recommended_max_num_seqs(None, replace(e, full=None)).verdict is Reason.DEPENDS
    assert recommended_max_num_seqs(None, replace(e, speculative=True)).verdict is Reason.SPECULATIVE_DECODING
    known = replace(e.settings, max_num_seqs=None)
    assert recommended_max_num_seqs(None, replace(e, settings=known)).verdict is Reason.SEATS_UNKNOWN
    assert e.full is not None
    for requests, verdict in ((99.0, Reason.TOO_FEW_REQUESTS), (100.0, Reason.OK)):
        seen = replace(e.full.mix, demand=replace(e.full.mix.demand, requests=requests))
        found = recommended_max_num_seqs(Prescription(), replace(e, full=replace(e.full, mix=seen)))
        assert found.verdict is verdict
