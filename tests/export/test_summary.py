"""What a person is told first of an engine: the sentence, what to do, and that neither contradicts the state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kvwatch.core.engine_state import EngineState
from kvwatch.export.json_api import engine_json
from kvwatch.export.sentences import action, round_time, sentence
from kvwatch.export.state_words import STATE_WORDS
from kvwatch.export.summary import engine_key, summarize
from tests.export.full_view import full_engine

RISING = {"time_to_saturation_seconds": 840.0, "arrival_rate_slope": 0.0065, "arrival_rate_slope_lower": 0.005}
"""A trend that is no accident."""


def document(state: str = "fine", **fields: object) -> dict[str, object]:
    """An engine of μ 17.5 and λ 12 in a state."""
    return {
        "target": "10.0.0.7:8000",
        "model_name": "meta/llama 3",
        "engine": "0",
        "engine_state": {state: 1.0},
        "arrival_rate": {"1m": 12.0, "5m": 11.0},
        "utilization": {"1m": 12 / 17.5, "5m": 11 / 17.5},
        "service_rate": 17.5,
        "stable_limit": 1.0,
        "binding_limit": {"seqs": 1.0},
    } | fields


@pytest.mark.parametrize("state", EngineState)
def test_every_state_has_a_sentence_without_any_number_known(state: EngineState) -> None:
    """An engine of which only the state is known is told of as well."""
    bare = {"target": "a:1", "model_name": "m", "engine": "0", "engine_state": {state.value: 1.0}}
    summary = summarize(bare)
    assert sentence(summary).endswith(".")
    assert "None" not in sentence(summary)
    assert summary.state is state
    assert summary.room is None


@pytest.mark.parametrize(
    ("state", "fields", "words"),
    [
        ("fine", {}, "Room for 5.5 more requests/s."),
        ("approaching", RISING, "Full in about 14 min at this trend: room for 5.5 more"),
        ("approaching", RISING | {"arrival_rate_slope_lower": 0.001}, "Near its limit: room for 5.5 more requests/s."),
        ("overloaded", {"service_rate": 9.0, "queue_length": 52.0}, "12.0 requests/s arrive, 3.0 more than it can"),
        ("overloaded", {"queue_length": 52.0}, "The queue grows; 52 wait."),
        (
            "draining",
            {"queue_length": 1234.0, "backlog_drain_seconds": 100.0},
            "1,234 still wait, but less arrives than it serves: the queue is empty in about 100 s",
        ),
        ("evicting", {"congestion_loss_ratio": 0.09}, "9% of the throughput is lost."),
        ("warming_up", {}, "12.0 requests/s arrive."),
    ],
)
def test_the_sentence_has_the_numbers_of_its_state(state: str, fields: dict[str, object], words: str) -> None:
    """Whole words and the numbers that one acts on."""
    assert words in sentence(summarize(document(state, **fields)))


def test_the_flag_to_set_comes_first_and_replicas_where_it_is_not_enough() -> None:
    """At 12 of 10 requests/s +19% is not enough, +30% is."""
    advised = document(
        "overloaded",
        service_rate=10.0,
        recommended_max_num_seqs=37.0,
        recommended_gain_ratio=0.19,
        replicas_required=2.0,
        advice=["It evicts.", "Restart it with --max-num-seqs 37 (now 256): about +19% throughput."],
    )
    summary = summarize(advised)
    assert summary.command == "--max-num-seqs 37"
    assert action(summary) == (
        "Restart it with --max-num-seqs 37 to serve about 19% more. Not enough alone: run 2 replicas instead of 1."
    )
    enough = summarize(advised | {"recommended_gain_ratio": 0.3})
    assert action(enough) == "Restart it with --max-num-seqs 37 to serve about 30% more."


def test_an_engine_that_is_full_beside_others_with_room_is_to_be_sent_less() -> None:
    """More replicas do not mend what is shared badly."""
    hot = document("overloaded", service_rate=10.0, replicas_required=3.0)
    assert action(summarize(hot, {"replicas": 4.0})) == "Send it less: the model's 4 replicas together have room."
    model = {"replicas": 2.0, "replicas_added": {"surge": 0.0, "trend": 1.0}}
    assert action(summarize(hot, model)) == "Run 3 replicas instead of 2 (1 of them for the trend of the load)."


@pytest.mark.parametrize(("share", "words"), [(0.8, "Send it less"), (0.7, "Start one more replica")])
def test_a_trend_that_all_replicas_share_asks_for_one_more(share: float, words: str) -> None:
    """What arrives at one of four grows: it alone carries a quarter more than the mean one, or all of them do."""
    rising = document("approaching", utilization={"1m": share}, replicas_required=4.0, **RISING)
    assert (action(summarize(rising, {"replicas": 4.0, "model_utilization": 0.6})) or "").startswith(words)


@pytest.mark.parametrize("state", ["approaching", "saturated", "overloaded", "standing", "evicting", "hung"])
@pytest.mark.parametrize("fields", [{}, {"replicas_required": 1.0}, RISING], ids=["bare", "enough now", "a trend"])
def test_there_is_something_to_do_wherever_an_engine_needs_somebody(state: str, fields: dict[str, object]) -> None:
    """Also while the number of replicas is not known, or asks for none yet."""
    told = action(summarize(document(state, **fields), {"replicas": 1.0}))
    assert told is not None
    assert not told.startswith("Nothing")


@pytest.mark.parametrize("state", ["idle", "fine", "warming_up"])
def test_nothing_is_to_be_done_where_nothing_is_wrong(state: str) -> None:
    """A page that always asks for something is not read."""
    assert action(summarize(document(state, replicas_required=2.0))) is None


def test_an_engine_that_cannot_be_judged_asks_for_the_reason_unless_there_is_nothing_to_judge() -> None:
    """Not one to which nothing comes, nor one that makes no tokens and never will."""
    assert "KvwatchEstimateInvalid" in (action(summarize(document("unknown"))) or "")
    assert action(summarize(document("unknown", arrival_rate={"1m": 0.0}, utilization={}))) is None
    pooling = {"utilization": {"valid": 0, "reason": "generates_nothing"}}
    assert action(summarize(document("unknown", estimate_valid=pooling))) is None


def test_what_needs_somebody_first_sorts_first() -> None:
    """The state, and among equals the load."""
    busy = document(utilization={"1m": 0.9})
    found = sorted([document(), busy, document("overloaded"), document("idle")], key=lambda d: summarize(d).closeness)
    assert found[-1] == document("overloaded")
    assert found[-2] == busy


def test_an_engine_that_was_just_found_says_when_its_numbers_come() -> None:
    """After 20 of the first 60 s: in 40, and what is known meanwhile."""
    verdicts = {f"arrival_rate_{window}": {"valid": 0, "reason": "warming_up"} for window in ("1m", "5m")}
    early = {
        "target": "a:1",
        "model_name": "m",
        "engine": "0",
        "engine_state": {"warming_up": 1.0},
        "running_requests": 7.0,
        "engine_age_seconds": 20.0,
        "estimate_valid": verdicts,
    }
    assert sentence(summarize(early)) == "7 requests run. How many arrive is known in about 40 s."


def test_reasons_are_told_once_and_without_those_that_follow_from_others() -> None:
    """``depends`` says nothing that is not said already."""
    verdicts = {
        "service_rate": {"valid": 0, "reason": "seats_unknown", "words": "max_num_seqs is not known"},
        "utilization": {"valid": 0, "reason": "seats_unknown", "words": "max_num_seqs is not known"},
        "congestion": {"valid": 0, "reason": "depends", "words": "an estimate that this one needs is missing"},
        "queue_slope": {"valid": 1, "reason": "ok"},
    }
    assert summarize(document(estimate_valid=verdicts)).doubts == ("max_num_seqs is not known",)


def test_a_key_is_the_query_that_names_the_engine() -> None:
    """Names hold slashes, spaces and colons."""
    assert engine_key(document()) == "target=10.0.0.7%3A8000&model_name=meta%2Fllama+3&engine=0"


def test_the_summary_of_a_real_document_survives_json() -> None:
    """What comes over HTTP is summarized as what is at hand."""
    view = replace(full_engine(), engine_state={"fine": 1.0})
    document = engine_json(view)
    assert summarize(json.loads(json.dumps(document))) == summarize(document)


def test_times_are_rounded_as_people_say_them() -> None:
    """No seconds beside minutes."""
    assert [round_time(t) for t in (1, 7, 42, 119, 840, 7300)] == ["5 s", "5 s", "40 s", "120 s", "14 min", "2 h"]


def test_words_of_states_are_sentences() -> None:
    """So that they stand beside others."""
    assert all(words[0].isupper() and words.endswith(".") for words in STATE_WORDS.values())
