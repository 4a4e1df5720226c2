"""Waves of eviction in recordings of a real server, and what evictions cost."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bench.recordings import Recording as LoggedRecording
from kvwatch.core.capacity.correction import Correction
from kvwatch.core.cause import Cause
from kvwatch.core.eviction.preemptions import Preemptions, costs
from kvwatch.core.eviction.wave import Congestion, CongestionWatch, congestion, growth_ratio, holding_variation, is_wave
from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_seconds import StepTime
from kvwatch.core.traffic.mix import Mix
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw
from kvwatch.estimate import Reason
from kvwatch.facts import EngineKey, EngineSample
from kvwatch.queueing.congestion.stability import Stability
from kvwatch.stats.periodicity import Oscillation
from kvwatch.views import EngineView
from tests.core.recordings import FOLDER, NAMES, Phase, load, replay


class Watched:
    """Waves and evictions of one engine, as the engine feeds them."""

    def __init__(self) -> None:
        self._preemptions = Preemptions()
        self._wave = CongestionWatch(300.0)

    def update(self, interval: Interval) -> None:
        """Both take an interval."""
        self._preemptions.update(interval)
        self._wave.update(interval)

    def get(
        self, now: float, mix: Mix | None, correction: Correction | None, step: StepTime | None = None
    ) -> Congestion:
        """What both know, and what the view makes of it."""
        return congestion(self._wave.get(now), self._preemptions.get(now), mix, correction, step)

    def begin_anew(self, cause: Cause) -> None:
        """Both begin again."""
        self._preemptions.begin_anew(cause)
        self._wave.begin_anew(cause)


@cache
def said(name: str) -> tuple[tuple[Phase, EngineView], ...]:
    """What kvwatch said at the last scrape of each steady phase, from the metrics alone."""
    recording = load(name)
    ends = {recording.last_scrape(phase): phase for phase in recording.steady}
    views = replay(recording, ends, full_engine=False)
    return tuple((phase, views[at]) for at, phase in ends.items())


def logged_period(name: str, phase: Phase) -> float:
    """Lag in engine steps at which the logged batch resembles itself most, once it has ceased to at shorter ones."""
    steps = [i for i in LoggedRecording(FOLDER / name).iterations if phase.start + 20 <= i.stamp <= phase.end]
    batch = np.array([i.context_requests + i.generation_requests for i in steps], dtype=float)
    batch -= batch.mean()
    alike = np.correlate(batch, batch, "full")[len(batch) - 1 :] / np.arange(len(batch), 0, -1)
    start = int(np.argmax(alike < 0))
    return float(start + np.argmax(alike[start : len(batch) // 2]))


def test_the_wave_in_the_recording_of_one_length_is_found_with_its_period() -> None:
    """In both saturated phases of homog: within 10% of the server's own log of its steps, about one output length."""
    found = [(phase, view) for phase, view in said("homog") if phase.kind == "sat"]
    assert len(found) == 2
    for phase, view in found:
        logged = logged_period("homog", phase)
        assert logged == pytest.approx(192, rel=0.05)
        assert view.congestion_period_steps == pytest.approx(logged, rel=0.10)
        assert view.congestion_synchronisation_ratio is not None
        assert view.congestion_synchronisation_ratio > 0.9
        assert view.congestion_growth_ratio.value is not None
        assert view.congestion_growth_ratio.value > 3.5


@pytest.mark.parametrize("name", NAMES)
def test_no_wave_is_found_in_any_other_steady_phase(name: str) -> None:
    """Light load, saturated mixed lengths and seats that bind are no wave, although two of them evict."""
    for phase, view in said(name):
        if name != "homog" or phase.kind != "sat":
            assert view.congestion_period_steps is None, (name, phase)


@pytest.mark.parametrize("name", NAMES)
def test_the_radius_is_told_wherever_demand_is(name: str) -> None:
    """And is above 1 for one length only."""
    for _, view in said(name):
        if view.request_demand_token_steps.value:
            assert view.congestion_spectral_radius is not None
            assert (view.congestion_spectral_radius > 1) == (name == "homog")


def test_chance_makes_the_batch_vary_as_the_formula_says() -> None:
    """Requests that run at a random moment hold tokens with this variation, by acting it out."""
    source = np.random.default_rng(2)
    s, o = source.integers(10, 400, 5000).astype(float), source.integers(10, 400, 5000).astype(float)
    running = source.choice(5000, 200_000, p=o / o.sum())
    held = s[running] + source.random(200_000) * o[running]
    assert holding_variation(s, o) == pytest.approx(held.std() / held.mean(), rel=0.01)


def test_a_wave_needs_regularity_and_more_than_chance() -> None:
    """Overload without swing, a swing by chance, and one crest without a trough are none."""
    wave = Oscillation(period=190, crest=0.6, trough=-0.5, amplitude_ratio=0.2)
    assert is_wave(wave, 0.95)
    assert not is_wave(wave, 0.5)
    assert not is_wave(replace(wave, crest=0.2), 0.95)
    assert not is_wave(replace(wave, trough=-0.1), 0.95)


def test_evictions_cost_what_the_embedded_engine_shows() -> None:
    """Tokens and throughput lost in proportion to the evictions seen, nothing while there are none."""
    settings = SchedulerSettings.from_capacity(16_352, block_size_tokens=32, max_num_batched_tokens=2048)
    run = saturate([RequestShape(64, 192)], settings, StepLaw(0.0168, 0.00032, 0.00027, 1.1e-6), steps=4000)
    assert run.preemptions_per_finished is not None
    correction = Correction(0.8, run, "kv")
    cost = costs(correction)
    assert cost is not None
    tokens, lost = cost
    # an evicted request computes its prompt again, and at most all it generated
    assert 64 <= tokens <= 64 + 192
    assert lost * run.preemptions_per_finished == pytest.approx(0.2)
    watch = Watched()
    watch.update(interval(10.0, preemptions=5.0, finished=50.0))
    seen = watch.get(10.0, None, correction)
    assert seen.preemptions_per_finished == pytest.approx(0.1)
    assert seen.loss_ratio == pytest.approx(0.1 * lost)
    assert seen.recomputed_tokens_per_finished == pytest.approx(0.1 * tokens)
    watch.update(interval(80.0, preemptions=0.0, finished=50.0))
    assert watch.get(80.0, None, correction).loss_ratio == 0.0


def test_unknown_stays_unknown() -> None:
    """Without preemption counters, or without a run of the embedded engine, no loss is told."""
    watch = Watched()
    assert watch.get(0.0, None, None).loss_ratio is None
    watch.update(interval(10.0, preemptions=None, finished=50.0))
    assert watch.get(10.0, None, None).preemptions_per_finished is None
    watch.update(interval(11.0, preemptions=3.0, finished=5.0))
    assert watch.get(11.0, None, None).loss_ratio is None
    watch.begin_anew(Cause.RESTART)
    assert watch.get(12.0, None, None).preemptions_per_finished is None


def watched(steps_per_scrape: float, period_steps: float, output_tokens: float, scrapes: int = 400) -> Congestion:
    """What is seen of a batch that swings with this period, by an engine that makes so many steps a scrape."""
    watch = Watched()
    for i in range(1, scrapes + 1):
        running = 100 + 30 * np.sin(2 * np.pi * i * steps_per_scrape / period_steps)
        taken = interval(float(i), preemptions=5.0, finished=5.0)
        watch.update(replace(taken, steps=steps_per_scrape, sample=replace(SAMPLE, running=float(running))))
    lengths = np.full(128, 64.0), np.full(128, output_tokens)
    mix = Mix(DemandEstimates({}, 500.0, steps=output_tokens), *lengths, 0, 1.0, 0.1, 0.0)
    return watch.get(float(scrapes), mix, None)


@pytest.mark.parametrize("steps_per_scrape", [10.0, 20.0, 40.0])
def test_a_wave_is_told_with_its_period_at_any_pace_that_shows_it(steps_per_scrape: float) -> None:
    """Four scrapes in a lifetime are enough."""
    seen = watched(steps_per_scrape, 190.0, 192.0)
    assert seen.wave is not None
    assert seen.wave.period == pytest.approx(190.0, rel=0.05)
    assert not seen.too_coarse


@pytest.mark.parametrize("steps_per_scrape", [60.0, 100.0, 170.0, 200.0, 400.0])
def test_scrapes_too_rare_for_the_engine_tell_no_period(steps_per_scrape: float) -> None:
    """What they show is an alias, many times as long as the wave."""
    seen = watched(steps_per_scrape, 190.0, 192.0)
    assert seen.wave is None
    assert seen.too_coarse


def test_a_swing_longer_than_any_request_lives_is_no_wave_of_theirs() -> None:
    """Load that comes and goes moves the batch too."""
    seen = watched(20.0, 1500.0, 192.0)
    assert seen.synchronisation is not None
    assert seen.synchronisation > 0.9
    assert seen.wave is None


@pytest.mark.parametrize(("waiting_capacity", "is_kept"), [(0.0, False), (4.0, True), (None, True)])
def test_requests_that_wait_for_something_else_than_capacity_carry_no_wave(
    waiting_capacity: float | None, is_kept: bool
) -> None:
    """While memory is half empty a swing goes on only if requests wait for memory, and not for a LoRA slot."""
    watch = Watched()
    for i in range(1, 301):
        running = 100 + 30 * np.sin(2 * np.pi * i * 20.0 / 190.0)
        watch.update(
            replace(interval(float(i), preemptions=5.0, finished=5.0), sample=replace(SAMPLE, running=float(running)))
        )
    mix = Mix(DemandEstimates({}, 500.0, steps=192.0), np.full(128, 64.0), np.full(128, 192.0), 0, 1.0, 0.1, 0.0)
    assert watch.get(300.0, mix, None).wave is not None
    half_empty = replace(SAMPLE, kv_usage_ratio=0.5, waiting=4.0, waiting_capacity=waiting_capacity)
    queue = 4.0 if waiting_capacity is None else waiting_capacity
    last = interval(301.0, preemptions=0.0, finished=5.0)
    watch.update(replace(last, sample=half_empty, waiting=(queue, queue)))
    assert (watch.get(301.0, mix, None).wave is not None) == is_kept


@pytest.mark.parametrize("cause", list(Cause))
def test_a_swing_before_a_break_is_no_part_of_one_after_it(cause: Cause) -> None:
    """But where only the scale that lengths or memory are counted on is another, the batch is the same."""
    watch = CongestionWatch(300.0)
    for at in range(1, 11):
        watch.update(interval(float(at), preemptions=5.0, finished=5.0))
    assert len(watch.get(10.0).running) == 10
    watch.begin_anew(cause)
    assert len(watch.get(10.0).running) == (0 if cause.changes_requests else 10)


def test_evictions_are_counted_over_a_lifetime_where_requests_live_for_minutes() -> None:
    """Otherwise what is told swings with the wave: here all evictions fall into one minute of five."""
    watch = Watched()
    for at in range(1, 301):
        watch.update(interval(float(at), preemptions=5.0 if at <= 60 else 0.0, finished=1.0))
    mix = Mix(DemandEstimates({}, 500.0, steps=3000.0), np.full(128, 64.0), np.full(128, 3000.0), 0, 1.0, 0.1, 0.0)
    assert watch.get(300.0, mix, None).preemptions_per_finished == 0.0
    assert watch.get(300.0, mix, None, StepTime(0.1, 0.1, 50)).preemptions_per_finished == pytest.approx(1.0)


SAMPLE = EngineSample(EngineKey("m", "0"), running=50.0, waiting=5.0, kv_usage_ratio=0.99)


def interval(end: float, *, preemptions: float | None, finished: float | None) -> Interval:
    """One second of a busy engine."""
    return Interval(
        start=end - 1.0, end=end, sample=SAMPLE, finished=finished, steps=20.0, generation_tokens=1000.0,
        prompt_tokens=100.0,
        prompt_tokens_computed=100.0, preemptions=preemptions, inter_token_seconds=50.0, inter_tokens=1000.0,
        prefill_seconds=1.0, first_tokens=5.0, lengths_count=0.0, lengths_prompt_tokens=0.0, lengths_output_tokens=0.0,
        running=(50.0, 50.0), waiting=(5.0, 5.0), kv_usage_ratio=(0.99, 0.99),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("preemptions", "loss", "law_known", "too_coarse", "reason"),
    [
        (0.3, 0.1, True, False, Reason.OK),
        (0.0, 0.0, True, False, Reason.OK),
        (0.3, None, True, False, Reason.DEPENDS),
        (0.3, None, False, False, Reason.LAW_UNKNOWN),
        (0.3, 0.1, True, True, Reason.SCRAPES_TOO_RARE),
        (0.0, 0.0, True, True, Reason.OK),
    ],
)
def test_a_loss_that_is_missing_means_none_only_where_nothing_is_evicted(
    preemptions: float, loss: float | None, law_known: bool, too_coarse: bool, reason: Reason
) -> None:
    """Evictions whose cost is not known, or that come between two scrapes, are said to be in doubt; no others are."""
    stable = Stability(0.99, 1e-6, 100.0, 0.5, 0.4, 0.7)
    found = Congestion(stability=stable, preemptions_per_finished=preemptions, loss_ratio=loss, too_coarse=too_coarse)
    answer = growth_ratio(found, law_known=law_known)
    assert answer.verdict is reason
    assert (answer.value, answer.lower, answer.upper) == (0.5, 0.4, 0.7)


def test_before_the_mix_is_known_nothing_is_said_of_waves() -> None:
    """No growth, and the reason that it waits for another estimate."""
    answer = growth_ratio(Congestion(), law_known=True)
    assert answer.value is None
    assert answer.verdict is Reason.DEPENDS
