"""Facts are counted and logged on their way into the core, and a fault of the core stays where it is."""

from __future__ import annotations

import logging

import pytest

from kvwatch.core.capacity.correction import Correction, FullEngineRun
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineKey, EngineSample, Fact, RequestRecord, Scrape, ScrapeFailed, Settings, SettingSource
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.views import FleetView

ENGINE = EngineSample(EngineKey("m", "0"), running=1.0)


class FaultyFleet(Fleet):
    """The real fleet with a bug for one target, and in the view when asked for."""

    faulty_target = "bad:1"
    faulty_view = False

    def observe(self, target: str, fact: Fact) -> None:
        """Fail for one target."""
        if target == self.faulty_target:
            raise ZeroDivisionError("a bug")
        super().observe(target, fact)

    def view(self, now: float) -> FleetView:
        """Fail when asked to."""
        if self.faulty_view:
            raise ZeroDivisionError("a bug")
        return super().view(now)

    def take_due_runs(self, now: float) -> list[tuple[str, EngineKey, FullEngineRun]]:
        """Fail always."""
        raise ZeroDivisionError(f"a bug at {now}")

    def correct(self, target: str, key: EngineKey, correction: Correction | None) -> None:
        """Fail always."""
        raise ZeroDivisionError(f"a bug with {target} {key} {correction}")


@pytest.fixture
def fleet() -> FaultyFleet:
    """A fleet with a bug."""
    return FaultyFleet(CoreOptions())


@pytest.fixture
def metrics() -> SelfMetrics:
    """Counters at zero."""
    return SelfMetrics()


@pytest.fixture
def intake(fleet: FaultyFleet, metrics: SelfMetrics, caplog: pytest.LogCaptureFixture) -> Intake:
    """A healthy target and one on which the core fails."""
    caplog.set_level(logging.INFO)
    intake = Intake(fleet, metrics)
    intake.add("good:1", Settings())
    intake.add("bad:1", Settings())
    return intake


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The events logged so far."""
    return [record.getMessage() for record in caplog.records]


def count(metrics: SelfMetrics, name: str, *labels: str) -> float:
    """A counter's value."""
    return dict(metrics.samples()[name])[labels]


def test_a_fault_on_one_target_leaves_the_others(intake: Intake, metrics: SelfMetrics) -> None:
    """The other target's estimates go on, and the fault is counted each time."""
    for at in (1.0, 2.0):
        intake.observe("bad:1", Scrape(at, (ENGINE,)))
        intake.observe("good:1", Scrape(at, (ENGINE,)))
    good, bad = intake.view(2.0).targets
    assert (good.up, len(good.engines)) == (True, 1)
    assert (bad.up, len(bad.engines)) == (False, 0)
    assert count(metrics, "kvwatch_internal_errors_total", "observe") == 2


def test_a_fault_is_logged_once_with_its_traceback(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    """Not once a second."""
    for at in (1.0, 2.0, 3.0):
        intake.observe("bad:1", Scrape(at, (ENGINE,)))
    faults = [record for record in caplog.records if record.getMessage() == "internal_error"]
    assert len(faults) == 1
    assert faults[0].exc_info is not None


def test_a_view_that_fails_is_empty_and_counted(intake: Intake, fleet: FaultyFleet, metrics: SelfMetrics) -> None:
    """The self-metrics can still be served, and the next view is tried again."""
    fleet.faulty_view = True
    assert intake.view(5.0) == FleetView(at=5.0)
    assert count(metrics, "kvwatch_internal_errors_total", "view") == 1
    fleet.faulty_view = False
    assert len(intake.view(6.0).targets) == 2


def test_a_model_that_fails_costs_nothing_else(intake: Intake, metrics: SelfMetrics) -> None:
    """Neither asking for runs nor giving their result raises."""
    assert intake.take_due_runs(1.0) == []
    intake.correct("good:1", ENGINE.key, None)
    assert count(metrics, "kvwatch_internal_errors_total", "model") == 2


def test_state_changes_are_logged_once(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    """Up, down, another reason, up again: one event each, however many scrapes."""
    facts = [
        *[Scrape(float(at), (ENGINE,)) for at in range(3)],
        *[ScrapeFailed(float(at), "timeout") for at in range(3, 6)],
        *[ScrapeFailed(float(at), "connection") for at in range(6, 8)],
        *[Scrape(float(at), (ENGINE,)) for at in range(8, 10)],
    ]
    for fact in facts:
        intake.observe("good:1", fact)
    assert events(caplog) == ["target_up", "target_down", "target_down", "target_up"]


def test_a_server_without_vllm_s_metrics_is_named_once(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    """Up, with a warning that says where to look."""
    for at in (1.0, 2.0):
        intake.observe("good:1", Scrape(at, ()))
    assert events(caplog) == ["target_up", "target_without_engines"]
    good = intake.view(2.0).targets[0]
    assert good.up
    assert "no metrics of vLLM" in good.problem


def test_what_a_target_shows_in_vain_is_logged_once_for_each_reason(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    """A router's page is called one, in the log and as the target's problem; engines beside it go on."""
    for at, engines, why in ((1.0, (), "a router's"), (2.0, (), "a router's"), (3.0, (ENGINE,), "the label pod")):
        intake.observe("good:1", Scrape(at, engines, refusal=why))
    assert events(caplog) == ["target_up", "target_without_engines", "metrics_refused"]
    target = intake.view(3.0).targets[0]
    assert (target.up, target.problem) == (True, "the label pod")


def test_scrapes_and_bad_lines_are_counted(intake: Intake, metrics: SelfMetrics) -> None:
    """By target and result."""
    intake.observe("good:1", Scrape(1.0, (ENGINE,), bad_lines=3))
    intake.observe("good:1", ScrapeFailed(2.0, "timeout"))
    intake.observe("good:1", Scrape(3.0, (ENGINE,)))
    assert count(metrics, "kvwatch_scrapes_total", "good:1", "success") == 2
    assert count(metrics, "kvwatch_scrapes_total", "good:1", "timeout") == 1
    assert count(metrics, "kvwatch_exposition_bad_lines_total", "good:1") == 3


def test_requests_are_counted_by_source(intake: Intake, metrics: SelfMetrics) -> None:
    """Before the first scrape as after it; a target that is not watched has none."""
    for source in ("otlp", "log", "otlp"):
        intake.observe("good:1", RequestRecord(1.0, 2.0, 3, 4, source=source))
    intake.observe("gone:1", RequestRecord(1.0, 2.0, 3, 4, source="otlp"))
    counts = dict(metrics.samples()["kvwatch_requests_ingested_total"])
    assert counts == {("good:1", "otlp"): 2, ("good:1", "log"): 1, ("bad:1", "otlp"): 0}


def test_a_late_fact_about_a_removed_target_is_dropped(intake: Intake, metrics: SelfMetrics) -> None:
    """A scrape that ends after a reload brings nothing back."""
    intake.remove("good:1")
    intake.observe("good:1", Scrape(1.0, (ENGINE,)))
    intake.discovered("good:1", [Settings(max_num_seqs=8)])
    assert [target.target for target in intake.view(1.0).targets] == ["bad:1"]
    assert not [labels for labels, _ in metrics.samples()["kvwatch_scrapes_total"] if labels[0] == "good:1"]


def test_discovered_settings_are_logged_when_they_change(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    """Every few minutes the same settings are found; that is no event."""
    for seats in (256, 256, 128):
        intake.discovered("good:1", [Settings(max_num_seqs=seats, source=SettingSource.SERVER_INFO)])
    intake.discovered("good:1", [])
    assert events(caplog) == ["settings_discovered", "settings_discovered"]


def test_a_setting_that_is_contradicted_is_logged_once(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    """The operator hears of a flag that is out of date, and not again while nothing changes."""
    intake.add("good:1", Settings(256, source=SettingSource.CONFIG))
    for at in (1.0, 2.0):
        intake.observe("good:1", Scrape(at, (ENGINE,)))
        intake.reported("good:1", Settings(37, source=SettingSource.PROCESS))
    intake.reported("good:1", Settings(source=SettingSource.PROCESS))
    refuted = [record for record in caplog.records if record.getMessage() == "setting_refuted"]
    assert [record.__dict__["fields"]["why"] for record in refuted] == [
        "m/0: kvwatch's configuration says max_num_seqs 256, but the server's command line says 37, which is used"
    ]
