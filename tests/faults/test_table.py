"""docs/faults.md line by line: each row has its tests, and names events and metrics that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from kvwatch.export.catalog import CATALOG

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
TESTS = {
    "a target refuses, is late": (
        "faults/test_scrapes.py::test_a_failing_scrape_has_its_reason_and_estimates_are_withheld",
        "faults/test_leaks.py::test_hundreds_of_failed_scrapes_leave_no_task_thread_or_file",
    ),
    "a metric that a server has shown stops": (
        "faults/test_scrapes.py::test_utilization_is_not_shown_from_an_input_that_has_stopped_coming",
        "core/test_each_input.py::test_no_wrong_number_is_shown_whatever_becomes_of_a_metric",
    ),
    "a target's answer ends within": (
        "shell/scrape/test_odd_http.py::test_an_answer_that_lies_about_its_length_is_refused",
        "shell/scrape/test_odd_http.py::test_a_number_that_is_cut_is_not_read",
        "shell/scrape/test_odd_http.py::test_what_follows_an_answer_is_no_part_of_the_next",
        "shell/scrape/test_odd_http.py::test_a_certificate_that_has_expired_is_named",
    ),
    "a metric is frozen": ("core/test_each_input.py::test_no_wrong_number_is_shown_whatever_becomes_of_a_metric",),
    "a metric is rescaled, doubled or stuck": (
        "core/conservation/test_refuted_metrics.py::test_the_metric_that_is_wrong_is_the_one_that_is_left_out",
        "core/conservation/test_refuted_metrics.py::test_a_number_that_is_mended_is_believed_again",
        "core/traffic/test_flow_balance.py::test_no_balance_spans_a_total_that_was_contradicted",
    ),
    "a metric stands, or is 0": (
        "core/test_catching_up.py::test_latencies_that_come_back_are_not_all_of_the_interval_in_which_they_do",
        "core/test_resets.py::test_counters_that_are_back_where_they_were_have_not_counted_that_between_two_scrapes",
        "bench/test_fault_day.py::test_minutes_of_faults_bring_no_wrong_number_no_page_and_no_fault_of_kvwatch",
    ),
    "counters fall again and again": ("core/test_resets.py::test_counters_that_fall_again_and_again_are_no_totals",),
    "what passes metrics on makes a new page": (
        "core/test_repeated.py::test_a_page_that_lasts_is_read_as_if_it_were_scraped_as_seldom",
        "core/test_no_wrong_number_is_valid.py::test_no_case_has_a_wrong_number_that_is_valid",
    ),
    "requests wait, always as many": (
        "core/test_what_stands.py::test_deferred_requests_whose_number_never_changes_are_parked",
        "core/traffic/test_passed_over.py::test_the_number_that_stands_is_passed_over_and_the_rest_is_not",
    ),
    "a target answers without any of vLLM's series": (
        "faults/test_targets.py::test_a_target_without_vllm_s_series_is_up_and_says_that_it_has_no_engine",
    ),
    "a target shows what makes no engine": (
        "shell/test_intake.py::test_what_a_target_shows_in_vain_is_logged_once_for_each_reason",
        "parse/exposition/test_identity.py::test_what_makes_no_engine_is_told_for_what_it_is",
    ),
    "a target shows other engines at each scrape": (
        "core/test_target.py::test_a_server_that_makes_up_engines_neither_locks_the_real_one_out_nor_counts_as_a_fleet",
        "page/test_history.py::test_engines_that_are_seen_once_take_no_room",
    ),
    "a series is shown twice": ("faults/test_scrapes.py::test_a_contradicting_series_does_not_move_what_is_shown",),
    "numbers of 10³⁰⁸": ("parse/exposition/test_reader.py::test_numbers_that_no_server_can_have_are_unknown",),
    "a histogram shows outputs of more than": (
        "core/capacity/test_full_engine.py::test_no_waves_are_looked_for_in_outputs_that_no_server_makes",
        "shell/recordings/test_damage.py::test_a_gap_of_decades_between_two_scrapes_costs_nothing",
    ),
    "kvwatch itself fails": (
        "shell/scrape/test_garbage_server.py::test_a_bug_in_the_reader_costs_one_scrape",
        "shell/test_intake.py::test_a_fault_is_logged_once_with_its_traceback",
    ),
    "a target's name hangs in DNS": (
        "faults/test_names.py::test_forty_names_that_hang_take_no_healthy_target_down_and_do_not_delay_the_end",
        "faults/test_names.py::test_known_addresses_stay_in_use_while_no_name_server_answers",
    ),
    "requests that are reported by logs": (
        "core/traffic/test_log_check.py::test_forged_requests_do_not_move_the_service_rate",
    ),
    "all 512 connections": (
        "faults/test_clients.py::test_idle_connections_do_not_lock_anybody_out",
        "faults/test_clients.py::test_connections_that_bring_nothing_do_not_lock_anybody_out",
    ),
    "clients ask for pages and never read": (
        "faults/test_clients.py::test_clients_that_never_read_hold_no_more_than_the_answers_memory_allows",
    ),
    "no file descriptor is left": (
        "faults/test_open_files.py::test_clients_that_take_all_file_descriptors_fill_no_log_and_leave_no_mark",
    ),
    "the core that kvwatch has is full": (
        "shell/test_view_turns.py::test_views_make_way_while_the_process_is_late_and_say_so_once",
    ),
    "thousands of targets go at once": (
        "faults/test_targets.py::test_thousands_of_targets_that_go_leave_others_their_turn",
    ),
    "the host's clock was wrong": (
        "faults/test_clock.py::test_spans_are_taken_and_times_are_right_after_the_clock_was_set_right",
        "faults/test_clock.py::test_a_clock_that_is_set_while_it_runs_bends_no_rate",
    ),
    "kvwatch is stopped and goes on": (
        "faults/test_start.py::test_a_process_that_was_stopped_and_goes_on_scrapes_again",
    ),
    "none of the first 300 lines": (
        "shell/tail/test_recognition.py::test_a_log_without_a_known_line_is_reported_once",
    ),
    "a log is rotated more often": (
        "shell/tail/test_fast_rotation.py::test_files_that_had_the_name_between_two_looks_are_read_in_order",
        "shell/tail/test_fast_rotation.py::test_rotations_too_fast_to_follow_are_said_and_looked_at_more_often",
    ),
    "the state file is damaged": (
        "shell/state/test_file.py::test_a_damaged_file_is_set_aside",
        "shell/state/test_damage.py::test_a_damaged_state_is_taken_up_whole_or_refused",
    ),
    "the state of one target says": (
        "shell/state/test_damage.py::test_the_refusal_names_the_place",
        "shell/state/test_damage.py::test_what_was_learnt_under_a_clock_that_was_ahead_is_refused",
    ),
    "the state file cannot be written": (
        "faults/test_start.py::test_a_state_that_cannot_be_saved_is_counted",
        "faults/test_full_disk.py::test_a_state_that_does_not_fit_leaves_the_one_before_and_nothing_else",
    ),
    "a recording does not fit": (
        "faults/test_full_disk.py::test_a_recording_that_does_not_fit_ends_with_a_word_and_is_readable_so_far",
    ),
    "SIGTERM while it starts": ("faults/test_start.py::test_a_signal_while_it_starts_ends_it_with_0",),
    "SIGHUP while it starts": (
        "faults/test_start.py::test_a_hangup_while_it_starts_does_not_end_it_and_is_done_afterwards",
    ),
}
"""By how a row begins, the tests that hold it."""
NOT_EVENTS = {"stale", "kvwatch record"}
"""What stands in quotes in the column of what is logged and is no event."""


def rows() -> list[list[str]]:
    """The cells of the page's first table."""
    table = PAGE.read_text(encoding="utf-8").split("\n| fault |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


@cache
def events() -> frozenset[str]:
    """The names of all events that kvwatch logs."""
    found: set[str] = set()
    for path in (ROOT / "kvwatch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+", node.value):
                found.add(node.value)
    return frozenset(found)


def test_every_row_has_its_tests_and_no_test_is_of_a_row_that_is_gone() -> None:
    """A row without one is a promise that nobody keeps."""
    first = [row[0] for row in rows()]
    assert [row for row in first if sum(row.startswith(begin) for begin in TESTS) != 1] == []
    assert [begin for begin in TESTS if not any(row.startswith(begin) for row in first)] == []


@pytest.mark.parametrize("begin", TESTS)
def test_the_tests_of_a_row_are_there(begin: str) -> None:
    """By file and name."""
    for name in TESTS[begin]:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        assert function in {getattr(node, "name", None) for node in tree.body}, name


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_row_names_events_and_metrics_that_there_are(row: list[str]) -> None:
    """Four cells; what is exported is in the catalogue, what is logged is in the code."""
    assert len(row) == 4
    _, exported, logged, _ = row
    known = {metric.name for metric in CATALOG}
    named = set(re.findall(r"`(kvwatch_[a-z_]+)", exported))
    assert {name for name in named if name not in known and name.removesuffix("_total") not in known} == set()
    said = {word.split()[0] for word in re.findall(r"`([^`]+)`", logged)} - NOT_EVENTS
    assert said - events() == set()
