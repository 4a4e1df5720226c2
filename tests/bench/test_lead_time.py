"""The lead-time bench: what it calls the truth, a page, a miss; and that a simulated ramp goes through all of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bench.lead_time import judge, plot, recorded, report, scenarios, store, summary, truth
from bench.lead_time.engines import ENGINES
from bench.lead_time.judge import KVWATCH, Judged, Verdict
from bench.lead_time.scenarios import Case, Stretch
from bench.lead_time.simulate import simulate
from bench.lead_time.trace import Trace, labels_of
from kvwatch.promql.firing import State, alert_state
from kvwatch.promql.rules import read_rules

MADE = {"date": "2026-01-01", "commit": "abc"}
RAMP = Case(
    "ramp 10 min from 0.5, short", "ramp", 0,
    (Stretch(900, 0.5, 0.5), Stretch(600, 0.5, 1.25), Stretch(900, 1.25, 1.25)),
    overloads=True, rise_at=900.0, rise_seconds=600.0, interval=15.0,
)  # fmt: skip


def _trace(waiting: list[int], every: float = 10.0) -> Trace:
    at = np.array([every * (i + 1) for i in range(len(waiting))])
    return Trace(at, {}, at, np.array([waiting], dtype=float), 1.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A simulated ramp, as it comes back from the disk."""
    path = tmp_path_factory.mktemp("traces") / "ramp.npz"
    simulate(RAMP).save(path)
    return Trace.load(path)


def test_the_queue_grows_for_good_from_the_last_time_that_nothing_waited() -> None:
    """A queue that empties within ten minutes does not count, one that stays does, from where it was empty last."""
    blip, grown = [0] * 5 + [3] * 40 + [0] * 5, [1] * 70
    assert truth.onset(_trace(blip)) is None
    assert truth.onset(_trace(blip + grown)) == 500.0
    assert truth.onset(_trace(grown)) == 0.0


def test_a_fleet_grows_for_good_when_its_first_engine_does() -> None:
    """The truth of several engines is the first one's."""
    one, other = _trace([0] * 50 + [1] * 70), _trace([0] * 20 + [1] * 100)
    both = replace(one, waiting=np.concatenate([one.waiting, other.waiting]))
    assert truth.onset(both) == truth.onset(other) == 200.0


def test_an_alert_fires_after_for_and_goes_on_for_keep_firing_for() -> None:
    """A gap before ``for`` is over starts anew; a gap shorter than ``keep_firing_for`` is bridged."""
    times = np.arange(0.0, 210.0, 15.0)
    active = np.array([c == "x" for c in "x.xxxx.xx....."])
    assert "".join(".F"[int(f)] for f in alert_state(active, times, 30.0, 30.0, State())[0]) == "....FFFFFFF..."
    assert "".join(".F"[int(f)] for f in alert_state(active, times, 0.0, 0.0, State())[0]) == "F.FFFF.FF....."


def test_a_page_that_comes_back_soon_is_the_same_page() -> None:
    """Gaps of up to five minutes join two pages, longer ones do not."""
    times = np.arange(0.0, 1200.0, 60.0)
    out = np.array([c == "x" for c in ".xx....x........xx.."])
    assert judge.spells(times, out) == [(60.0, 480.0), (960.0, 1080.0)]


def test_all_runs_have_their_own_name_and_are_as_many_as_promised() -> None:
    """At least 200 runs, every ramp length on every engine, and 3,000 hours of stable time."""
    cases = scenarios.cases()
    assert len({c.name for c in cases}) == len(cases) >= 200
    for minutes in scenarios.RAMP_MINUTES:
        assert sum(c.kind == "ramp" and c.rise_seconds == 60 * minutes for c in cases) == ENGINES
    assert sum(c.seconds for c in cases if c.steady) / 3600 >= summary.LEAST_STABLE_HOURS
    assert {c.interval for c in cases} == {15.0, 30.0, 60.0}
    assert {c.kind for c in scenarios.chosen(100)} == {c.kind for c in cases}


def test_the_load_of_a_steady_case_never_exceeds_what_counts_as_stable() -> None:
    """A page in such a case is false, so it must be."""
    for case in scenarios.cases():
        if case.steady and case.kind in {"stable", "day"}:
            at = np.linspace(0.0, case.seconds, 200)
            assert truth.load(case, _trace([0]), at).max() <= scenarios.STABLE_UP_TO + 1e-9, case.name


def test_a_simulated_ramp_shows_what_a_prometheus_would_have_scraped(ramp: Trace) -> None:
    """Series of the server and of kvwatch, as long as the scrapes; counters rise; the queue grows for good at ρ ≈ 1."""
    names = {dict(labels)["__name__"] for labels in ramp.series}
    assert {"up", "vllm:num_requests_waiting", "kvwatch_utilization", "kvwatch_estimate_valid"} <= names
    assert all(len(values) == len(ramp.at) for values in ramp.series.values())
    assert np.allclose(np.diff(ramp.at), RAMP.interval)
    labels = labels_of(
        "vllm:time_to_first_token_seconds_bucket",
        job="vllm", instance="vllm-0:8000", model_name="emulated", engine="0", le="+Inf",
    )  # fmt: skip
    assert (np.diff(ramp.series[labels]) >= 0).all()
    onset = truth.onset(ramp)
    assert onset is not None
    assert 0.9 <= truth.load(RAMP, ramp, np.array([onset]))[0] <= 1.2


def test_the_same_case_gives_the_same_trace() -> None:
    """Every number of a run follows from the case alone."""
    case = replace(RAMP, load=(Stretch(600, 0.7, 0.7),))
    one, other = simulate(case), simulate(case)
    assert list(one.series) == list(other.series)
    assert all(np.array_equal(other.series[k], v, equal_nan=True) for k, v in one.series.items())


def test_kvwatch_pages_before_the_queue_of_a_simulated_ramp_grows(ramp: Trace) -> None:
    """The alerts that ship, on one ramp: in time, not before the load rises, and ahead of those that see the queue."""
    found = judge.judge(RAMP, ramp, judge.rule_files())
    own = found.of(KVWATCH)
    assert own.lead_seconds is not None
    assert own.lead_seconds > 0
    assert own.false_pages == 0
    assert summary.lead(found, KVWATCH) > summary.lead(found, "Waiting10For1m")
    assert found.stable_hours == RAMP.rise_at / 3600


@pytest.mark.parametrize("phase", [1.0, 7.5, 14.0])
def test_kvwatch_pages_on_the_recorded_ramp_of_a_real_vllm_before_the_queue_fills_for_good(phase: float) -> None:
    """Whenever within its interval Prometheus scrapes, though kvwatch has watched for three minutes only.

    Requests have waited for five seconds before: the page comes 10 to 18 s after the first of them, and 19 to 28 s
    before the queue fills and is not empty again.
    """
    trace = recorded.trace(phase=phase)
    times, out = judge.pages(trace, judge.rule_files())[KVWATCH]
    waited_since = trace.waiting_at[trace.waiting[0] == 0][-1]
    ((start, _),) = judge.spells(times, out)
    assert 60.0 < start < waited_since


def test_stable_time_counts_up_to_where_the_queue_stands(tmp_path: Path) -> None:
    """A steady run whose queue stands for ten minutes in the end keeps its hours and false pages from before."""
    case = Case("stable 0.8", "stable", 1, (Stretch(7200, 0.8, 0.8),))
    trace = _trace([0] * 180 + [20] * 20 + [0] * 160 + [20] * 70 + [0] * 290)
    labels = labels_of("vllm:num_requests_waiting", job="vllm", instance="v", model_name="m", engine="0")
    judged = judge.judge(case, replace(trace, series={labels: trace.waiting[0]}), judge.rule_files())
    assert judged.onset == 3600.0
    assert (judged.stable_hours, judged.dropped_hours) == (1.0, pytest.approx(1.0, abs=0.01))
    assert (judged.of("Waiting10For1m").false_pages, judged.of("Waiting10For1m").pages) == (1, 2)
    assert "| stable 0.8 | 1.0 h | 1.0 h |" in report.markdown([judged], cpu_seconds=1.0, made=MADE)


def test_a_rollout_mutes_what_the_rules_say_and_no_page_besides(tmp_path: Path) -> None:
    """The exceptions are in the rules: whatever fires although engines start or leave reaches who is on call."""
    rule = "{alert: %s, expr: waiting > 0, labels: {severity: %s}}"
    rules = ", ".join(rule % pair for pair in (("KvwatchRollout", "none"), ("KvwatchOverloaded", "critical")))
    path = tmp_path / "rules.yaml"
    path.write_text(f"groups: [{{name: a, interval: 15s, rules: [{rules}]}}]")
    trace = _trace([0] * 60 + [1] * 60)
    times, out = judge.pages(
        replace(trace, series={labels_of("waiting"): trace.waiting[0]}), [read_rules(path.read_text())]
    )[KVWATCH]
    assert out.any()
    assert times[out][0] >= 600.0


def test_what_is_recorded_of_two_series_in_turn_is_one_series(tmp_path: Path) -> None:
    """After an ``or`` elements have the names of either side; under the rule's name none of them is lost."""
    rules = "{record: both, expr: one > 0 or other > 0}, {alert: Both, expr: both > 0}"
    path = tmp_path / "rules.yaml"
    path.write_text(f"groups: [{{name: a, interval: 15s, rules: [{rules}]}}]")
    trace = _trace([1] * 60 + [0] * 60)
    series = {labels_of("one"): trace.waiting[0], labels_of("other"): 1 - trace.waiting[0]}
    _, out = judge.pages(replace(trace, series=series), [read_rules(path.read_text())])["Both"]
    assert out.all()


def test_every_rule_that_is_judged_pages_on_something() -> None:
    """Critical alerts of kvwatch count as one page; a rival's name is its alert's."""
    own, rivals = judge.rule_files()
    assert [r.name for r in own.rules if dict(r.labels).get("severity") == "critical"]
    assert len([r for r in rivals.rules if r.is_alert]) == 6


def _judged(minutes: int, own: float | None, rival: float | None, false: int = 0) -> Judged:
    case = replace(RAMP, name=f"{minutes} {own}", rise_seconds=60.0 * minutes)
    verdicts = (Verdict("Rival", rival, 0, 0, 1), Verdict(KVWATCH, own, false, 0, 1))
    return Judged(case, 1000.0, 1.0, 100.0, verdicts)


def test_claims_hold_only_where_the_figures_do() -> None:
    """Ahead by a fifth of the ramp or three minutes, 1% missed, one false page in 1,000 hours, 3,000 hours."""
    good = [_judged(15, 300.0, 100.0 + i) for i in range(31)]
    assert [c.holds for c in summary.claims(good)] == [True] * 5
    late = [_judged(15, 300.0, 200.0) for _ in range(31)]
    assert [c.holds for c in summary.claims(late)][:2] == [False, False]
    missed = [*good[:-1], _judged(15, None, 100.0)]
    assert not summary.claims(missed)[2].holds
    false = [_judged(15, 300.0, 100.0, false=i // 27) for i in range(31)]
    assert not summary.claims(false)[3].holds
    assert not summary.claims(good[:20])[4].holds


def test_a_rival_that_pages_all_the_time_is_no_page() -> None:
    """It would lead by hours, and nobody would look."""
    judged = _judged(15, 300.0, 800.0)
    noisy = Verdict("Rival", 800.0, false_pages=6, early_pages=0, pages=7)
    cases = [replace(judged, verdicts=(noisy, judged.of(KVWATCH)))]
    assert summary.usable_rivals(cases) == []


def test_the_report_and_its_pictures_hold_every_rule(ramp: Trace) -> None:
    """Tables name all rules; the pictures are XML that says their names too."""
    steady = Case("stable 0.3, short", "stable", 1, (Stretch(1800, 0.3, 0.3),))
    files = judge.rule_files()
    cases = [judge.judge(RAMP, ramp, files), judge.judge(steady, simulate(steady), files)]
    text = report.markdown(cases, cpu_seconds=1.0, made=MADE)
    drawn = [plot.lead_distributions(cases), plot.false_page_rates(cases)]
    for rule in summary.rules(cases):
        assert rule in text
        for picture in drawn:
            assert rule in " ".join(ET.fromstring(picture).itertext())
    assert len(report.as_json(cases)) == 2
    assert re.search(r"^\| stable hours simulated: 3,000 at least \| 1 \| \*\*no\*\* \|$", text, re.MULTILINE)


def test_traces_are_kept_by_case_and_by_version_of_the_sources(tmp_path: Path) -> None:
    """Another course of the same name is another trace."""
    other = replace(RAMP, load=(Stretch(900, 0.4, 0.4),))
    assert store.path_of(RAMP, tmp_path) != store.path_of(other, tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", store.version())
