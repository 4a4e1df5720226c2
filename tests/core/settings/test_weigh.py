"""Whose word on a setting counts, worked out case by case."""

from __future__ import annotations

import pytest

from kvwatch.core.assumptions import Assumed
from kvwatch.core.settings.setting import Said, Setting
from kvwatch.core.settings.standing_batch import Standing
from kvwatch.core.settings.weigh import Measured, Weighed, weigh
from kvwatch.facts import SGLANG, Settings, SettingSource

NOTHING = Measured()


def said(*reports: Settings, measured: Measured = NOTHING) -> Weighed:
    """The settings by these reports."""
    return weigh({report.source: report for report in reports}, measured)


def of(source: SettingSource, seats: int | None = None, budget: int | None = None, **more: object) -> Settings:
    """A report."""
    return Settings(seats, budget, None, source, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("lower", [SettingSource.CONFIG, SettingSource.RECORDING, SettingSource.POD])
@pytest.mark.parametrize("higher", [SettingSource.SERVER_INFO, SettingSource.LOG, SettingSource.PROCESS])
def test_the_servers_own_word_wins_over_what_is_written_about_it(lower: SettingSource, higher: SettingSource) -> None:
    """Which is named as wrong where it differs, and fills what the server does not say."""
    found = said(of(lower, 256, 2048), of(higher, 37))
    assert found.max_num_seqs == Setting(37, higher, (Said(256, lower),))
    assert found.max_num_batched_tokens == Setting(2048, lower)
    assert said(of(lower, 37), of(higher, 37)).max_num_seqs == Setting(37, higher)


def test_what_speculative_decoding_leaves_of_a_budget_is_no_contradiction() -> None:
    """The log has what came to hold of what the command line asked for."""
    found = said(of(SettingSource.PROCESS, 256, 2048), of(SettingSource.LOG, 256, 1280))
    assert found.max_num_batched_tokens == Setting(1280, SettingSource.LOG)


def test_what_is_measured_wins_over_everybody() -> None:
    """Even over the server: an admission limit of another name may hold it back."""
    measured = Measured(Standing(37, exact=True), 37)
    found = said(of(SettingSource.SERVER_INFO, 256), of(SettingSource.CONFIG, 128), measured=measured)
    assert found.max_num_seqs == Setting(
        37, SettingSource.MEASURED, (Said(256, SettingSource.SERVER_INFO), Said(128, SettingSource.CONFIG))
    )


def test_of_several_that_say_so_the_one_that_agrees_with_what_is_measured_is_believed() -> None:
    """It knows the exact value."""
    measured = Measured(Standing(255, exact=False), 254)
    found = said(of(SettingSource.LOG, 512), of(SettingSource.CONFIG, 256), measured=measured)
    assert (found.max_num_seqs.value, found.max_num_seqs.source) == (256, SettingSource.CONFIG)


def test_the_longest_request_is_that_of_the_api() -> None:
    """The server may have fitted it to its memory after all else was said."""
    api = Settings(None, None, 1000, SettingSource.MODELS)
    given = Settings(None, None, 4096, SettingSource.CONFIG)
    assert said(api, given).max_model_len == Setting(1000, SettingSource.MODELS, (Said(4096, SettingSource.CONFIG),))


@pytest.mark.parametrize(
    ("report", "seats", "budget"),
    [
        (of(SettingSource.PROCESS, complete=True, device="cpu"), 128, 2048),
        (of(SettingSource.PROCESS, complete=True, device="cpu", world_size=2), 256, 4096),
        (of(SettingSource.LOG, None, 2048, complete=True, device="gpu", own_budget_tokens=2048), 256, 2048),
        (of(SettingSource.LOG, None, 8192, complete=True, device="gpu", own_budget_tokens=8192), 1024, 8192),
        (of(SettingSource.PROCESS, complete=True, device="gpu_largest", version="0.32.0"), 1024, 16_384),
    ],
)
def test_a_server_that_was_given_nothing_on_a_device_that_is_known_has_its_defaults(
    report: Settings, seats: int, budget: int
) -> None:
    """They are known, and nothing is assumed."""
    found = said(report)
    assert (found.settings.max_num_seqs, found.settings.max_num_batched_tokens) == (seats, budget)
    assert found.max_num_seqs == Setting(seats, SettingSource.DEFAULT)
    assert found.assumptions.seats is None


def test_on_a_device_that_is_not_known_a_default_is_assumed_between_those_that_there_are() -> None:
    """Where all that was given is shown, it is no other; else somebody may have set any."""
    complete = said(of(SettingSource.PROCESS, complete=True))
    assert complete.max_num_seqs.assumed == Assumed(256, 128, 1024, 128)
    unknown = said(measured=Measured(most_running=20))
    assert unknown.max_num_seqs.assumed == Assumed(256, 128, 1024, 20)
    assert unknown.max_num_batched_tokens.assumed == Assumed(2048, 2048, 16_384, 512)
    assert unknown.settings == Settings()


def test_a_default_that_was_exceeded_is_none() -> None:
    """More ran at once."""
    found = said(measured=Measured(most_running=300, budget_floor=5000.0))
    assert found.max_num_seqs.assumed == Assumed(1024, 1024, 1024, 300)
    assert found.max_num_batched_tokens.assumed == Assumed(8192, 8192, 16_384, 5000)
    assert said(measured=Measured(most_running=5000)).max_num_seqs == Setting()


def test_other_settings_are_taken_from_the_best_that_says_them() -> None:
    """Each with its source."""
    found = said(
        of(SettingSource.PROCESS, prefill_schedule_interval=4),
        of(SettingSource.LOG, enable_prefix_caching=True, async_scheduling=False),
        of(SettingSource.CONFIG, expert_ratio=0.0),
    )
    assert found.settings.prefill_schedule_interval == 4
    assert found.sources["prefill_schedule_interval"] is SettingSource.PROCESS
    assert found.sources["async_scheduling"] is SettingSource.LOG
    assert found.settings.expert_ratio == 0.0


def test_nothing_is_assumed_of_a_server_whose_defaults_are_others() -> None:
    """VLLM's defaults say nothing of SGLang: what nobody says is unknown."""
    weighed = weigh({}, Measured(most_running=12), SGLANG)
    assert (weighed.max_num_seqs.value, weighed.max_num_batched_tokens.value) == (None, None)
    assert weigh({}, Measured(most_running=12)).max_num_seqs.value is not None


@pytest.mark.parametrize(
    ("measured", "exact", "said_seats", "agrees"),
    [
        (37, True, 37, True),
        (37, True, 38, False),
        (37, False, 39, True),
        (37, False, 40, False),
        (500, False, 510, True),
        (500, False, 489, False),
    ],
)
def test_seats_that_are_said_agree_with_what_is_measured_to_its_error(
    measured: int, exact: bool, said_seats: int, agrees: bool
) -> None:
    """None where the seats themselves were seen, else two requests or two in a hundred; then the word is the value."""
    found = said(of(SettingSource.CONFIG, said_seats), measured=Measured(Standing(measured, exact), 30)).max_num_seqs
    refuted = Setting(measured, SettingSource.MEASURED, (Said(said_seats, SettingSource.CONFIG),))
    assert found == (Setting(said_seats, SettingSource.CONFIG) if agrees else refuted)


@pytest.mark.parametrize(("budget", "agrees"), [(2200, True), (2201, False), (1800, True), (1799, False)])
def test_a_budget_that_is_said_agrees_with_what_is_measured_to_a_tenth(budget: int, agrees: bool) -> None:
    """2,000 tokens, counted over a hundred steps."""
    found = said(of(SettingSource.CONFIG, budget=budget), measured=Measured(budget=2000)).max_num_batched_tokens
    assert found.value == (budget if agrees else 2000)
    assert bool(found.refuted) is not agrees
