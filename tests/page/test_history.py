"""The last hour of each engine: what is kept, for how long, and in how much memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kvwatch.export.summary import engine_key
from kvwatch.page.history import COLUMNS, MOST_ROWS, SPAN_SECONDS, STEPS_SECONDS, History, row_of

START = 1_749_999_600.0
"""The beginning of a step of each length [unix s]."""


def document(number: int = 0, load: float = 0.5) -> dict[str, object]:
    """What the API says of an engine."""
    return {
        "target": f"10.0.0.{number}:8000",
        "model_name": "llama",
        "engine": "0",
        "engine_state": {"fine": 1.0, "idle": 0.0},
        "arrival_rate": {"1m": 10 * load, "5m": 9.0},
        "utilization": {"1m": load, "5m": 0.4},
        "utilization_lower": {"1m": load - 0.1, "5m": 0.3},
        "utilization_upper": {"1m": load + 0.1, "5m": 0.5},
        "service_rate": 10.0,
        "service_rate_limit": {"kv": 10.0, "seqs": 20.0},
        "stable_limit": 0.95,
        "queue_length": 3.0,
        "observed_latency_seconds": {"ttft": {"0.5": 0.2, "0.95": 0.9}},
    }


def loads(history: History, key: str) -> list[float]:
    """ρ of all rows that are kept."""
    return [round(float(row[COLUMNS.index("utilization")]), 4) for row in history.since(key)[1]]


def test_a_row_has_what_the_document_says_and_nan_for_the_rest() -> None:
    """Over the shortest window; a limit that has no rate is unknown and not 0."""
    row = dict(zip(COLUMNS, row_of(document()), strict=True))
    assert row["utilization"] == 0.5
    assert row["utilization_lower"] == pytest.approx(0.4)
    assert row["arrival_rate"] == 5.0
    assert row["service_rate_seqs"] == 20.0
    assert row["limit"] == 0.95
    assert row["ttft_p95"] == 0.9
    assert math.isnan(row["service_rate_tokens"])
    assert math.isnan(row["itl_p50"])


def test_rows_are_an_hour_at_most_and_the_oldest_go_first() -> None:
    """Two hours leave the last one."""
    history, step = History(), STEPS_SECONDS[0]
    key = engine_key(document())
    for index in range(int(2 * SPAN_SECONDS / step)):
        history.record(START + index * step, [document(load=index / 10_000)])
    times, _ = history.since(key)
    assert times == [START + SPAN_SECONDS + index * step for index in range(int(SPAN_SECONDS / step))]
    assert loads(history, key) == [round(index / 10_000, 4) for index in range(720, 1440)]


def test_only_what_is_newer_is_given_to_who_has_the_rest() -> None:
    """A viewer gets each row once."""
    history = History()
    key = engine_key(document())
    for index in range(4):
        history.record(START + 5 * index, [document(load=index)])
    assert history.since(key, START + 5)[0] == [START + 10, START + 15]
    assert history.since(key, START + 15)[0] == []
    assert history.since("other")[0] == []


def test_a_second_row_within_a_step_replaces_the_first() -> None:
    """However often somebody looks, the memory is the same."""
    history = History()
    history.record(START, [document(load=0.1)])
    history.record(START + 1, [document(load=0.2)])
    assert loads(history, engine_key(document())) == [0.2]


@pytest.mark.parametrize("engines", [1, 100, 101, 300, 1200, 3000])
def test_memory_is_bounded_whatever_the_fleet(engines: int) -> None:
    """At most the rows that are promised; a larger fleet has longer steps and still a history of the hour."""
    history = History()
    for index in range(3):
        history.record(START + 300 * index, [document(number) for number in range(engines)])
    assert len(history) == engines
    assert history.bytes <= MOST_ROWS * (len(COLUMNS) * 4 + 8)
    assert len(history.since(engine_key(document(engines - 1)))[0]) == 3


def test_engines_beyond_all_memory_have_no_history_and_do_no_harm() -> None:
    """Ten thousand engines: those that came first keep theirs."""
    history = History(most_rows=24)
    for look in range(2):
        history.record(START + 300 * look, [document(number) for number in range(5)])
    assert len(history) == 2
    assert loads(history, engine_key(document(0))) == [0.5, 0.5]
    assert loads(history, engine_key(document(4))) == []


def test_engines_that_are_seen_once_take_no_room() -> None:
    """A label that is another one at each look: the real engine beside it keeps all its rows, at its step."""
    history = History()
    for look in range(100):
        made_up = [document(1000 * look + number) for number in range(1, 251)]
        history.record(START + 5 * look, [document(0, load=look), *made_up])
    assert len(history) == 1
    assert loads(history, engine_key(document(0))) == [float(look) for look in range(100)]


def test_a_fleet_that_grows_keeps_its_past_thinned() -> None:
    """At a step three times as long each third row stays, the latest of the three, at its own time."""
    history = History(most_rows=1000)
    for index in range(12):
        history.record(START + 5 * index, [document(load=index)])
    for look in (60, 65):
        history.record(START + look, [document(number) for number in range(3)])
    assert history.step_seconds == 15
    times, _ = history.since(engine_key(document()))
    assert np.diff(times).tolist() == [15.0] * 4
    assert loads(history, engine_key(document())) == [2.0, 5.0, 8.0, 11.0, 0.5]


def test_an_engine_that_is_gone_is_forgotten_after_the_hour_and_not_before() -> None:
    """Its last hour is there to be looked at, as after a crash."""
    history = History()
    for look in (START - 5, START):
        history.record(look, [document(0), document(1)])
    history.record(START + SPAN_SECONDS - 10, [document(1)])
    assert len(history) == 2
    history.record(START + SPAN_SECONDS + 10, [document(1)])
    assert len(history) == 1
