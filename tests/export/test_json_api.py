"""The JSON of the contract: keys without prefix, what is unknown left out."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.export.catalog import ENGINE_METRICS
from kvwatch.export.json_api import fleet_json
from kvwatch.facts import SettingSource
from kvwatch.views import EngineView, ModelView, SettingView
from tests.export.full_view import fleet, full_engine


def test_every_number_stands_under_its_name_without_the_prefix() -> None:
    """A metric with one more label is an object keyed by the label's value, with two one of objects, else a number."""
    engine = full_engine()
    (found,) = fleet_json(fleet(engine))["engines"]  # type: ignore[misc, has-type]
    assert [found["target"], found["model_name"], found["engine"]] == ["localhost:8000", "llama", "0"]
    for place, metric in enumerate(ENGINE_METRICS, 1):
        value = found[metric.key]
        if len(metric.extra_labels) > 1:
            value = {label: by["0.95"] for label, by in value.items()}
        assert (min(value.values()) if metric.extra_labels else value) == (1 if metric.one_hot else place)


def test_the_time_and_the_replicas_of_the_model_are_there() -> None:
    """``t`` is the view's time; the fleet's replicas stand in each engine of the model."""
    document = fleet_json(fleet(full_engine(), full_engine(engine="1")))
    assert document["t"] == 1_750_000_000.5
    assert [engine["replicas_required"] for engine in document["engines"]] == [3.0, 3.0]  # type: ignore[attr-defined]


def test_validity_has_words_only_where_there_are_any() -> None:
    """Valid is 1 or 0, with the reason, and the reason in words."""
    (found,) = fleet_json(fleet(full_engine()))["engines"]  # type: ignore[misc, has-type]
    assert found["estimate_valid"] == {
        "service_rate": {"valid": 1, "reason": "ok"},
        "stable_limit": {"valid": 0, "reason": "delta_is_bound", "words": Reason.DELTA_IS_BOUND.words},
    }


def test_what_is_unknown_is_left_out() -> None:
    """An engine of which nothing is known has its three labels only."""
    document = fleet_json(
        replace(fleet(EngineView("a:1", "m", "0")), models=(), targets=fleet(EngineView("a:1", "m", "0")).targets)
    )
    assert document["engines"] == [{"target": "a:1", "model_name": "m", "engine": "0"}]


def test_the_document_is_strict_json() -> None:
    """No NaN or infinity leaves, so any reader takes it."""
    engine = replace(
        full_engine(),
        service_rate=Estimate(math.nan),
        utilization=KeyedEstimate({"1m": math.inf, "5m": 0.5}),
    )
    document = fleet_json(
        replace(fleet(engine), models=(ModelView("llama", replicas_required=math.inf),)), targets=True
    )
    (found,) = document["engines"]  # type: ignore[misc, has-type]
    assert "service_rate" not in found
    assert "replicas_required" not in found
    assert found["utilization"] == {"5m": 0.5}
    json.dumps(document, allow_nan=False)


def test_targets_tell_their_health_on_request() -> None:
    """The API adds every target with its problem; a replay has none of that."""
    assert "targets" not in fleet_json(fleet())
    assert fleet_json(fleet(full_engine()), targets=True)["targets"] == [
        {
            "target": "localhost:8000",
            "up": True,
            "engines": 1,
            "scrape_age_seconds": 0.25,
            "scrape_duration_seconds": 0.01,
            "estimates_age_seconds": 12.5,
        },
        {"target": "localhost:8001", "up": False, "engines": 0, "problem": "connection: refused"},
    ]


def test_a_setting_stands_with_its_source_and_with_who_is_contradicted() -> None:
    """In sentences too; of a default between which values it may be, and what is a yes or a share as it is."""
    (found,) = fleet_json(fleet(full_engine()))["engines"]  # type: ignore[misc, has-type]
    words = (
        "kvwatch's configuration says max_num_seqs 256, but requests wait while no more than 37 run and memory has "
        "room: 37 is used"
    )
    assert found["settings"] == {
        "max_num_seqs": {
            "value": 37,
            "source": "measured",
            "refuted": [{"value": 256, "source": "config", "words": words}],
        },
        "max_num_batched_tokens": {"value": 2048, "source": "default", "assumed_between": [2048, 16384]},
        "watermark": {"value": 0.01, "source": "process"},
        "async_scheduling": {"value": True, "source": "log"},
    }


def test_a_value_that_is_only_known_to_be_wrong_is_said_to_be() -> None:
    """More ran than there are said to be seats, and how many there are nobody knows."""
    wrong = SettingView(None, SettingSource.UNKNOWN, ((8, SettingSource.CONFIG),))
    (found,) = fleet_json(fleet(replace(full_engine(), settings={"max_num_seqs": wrong})))["engines"]  # type: ignore[misc, has-type]
    (refuted,) = found["settings"]["max_num_seqs"]["refuted"]
    assert refuted["words"] == (
        "kvwatch's configuration says max_num_seqs 8, but more than 8 were seen: it is not used"
    )
    assert "value" not in found["settings"]["max_num_seqs"]
