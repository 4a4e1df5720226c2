"""The catalogue, the views and the generated page say the same."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.latency_curve import Slo
from kvwatch.estimate import Estimate, KeyedEstimate
from kvwatch.export.catalog import BY_NAME, CATALOG, ENGINE_METRICS
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SCRAPE_RESULTS
from kvwatch.export.docs import metrics_page
from kvwatch.export.metric import Kind, Part
from kvwatch.facts import EngineKey, EngineSample, Scrape
from kvwatch.views import JUDGED, EngineView, ModelView
from tests.export.full_view import NOTHING

LABELS = {"target", "model_name", "engine"}
ONLY_IN_JSON = {"advice", "settings"}
"""Fields of a view that no metric of their name shows: sentences, and settings, of which each is a series of
``kvwatch_setting_info``."""
DOCS = Path(__file__).parents[2] / "docs"


def test_every_field_of_a_view_is_a_metric_of_the_same_name() -> None:
    """An estimate that the core makes is exported, and nothing else is."""
    in_views = {field.name for field in fields(EngineView)} - LABELS - ONLY_IN_JSON
    assert {metric.field for metric in ENGINE_METRICS} == in_views
    assert {metric.key for metric in ENGINE_METRICS if metric.part is Part.VALUE} == in_views
    in_models = {field.name for field in fields(ModelView)} - {"model_name", "role", "mean_service_rate"}
    assert {metric.field for metric in MODEL_METRICS} == in_models


def test_a_field_is_a_mapping_exactly_where_the_metric_has_one_more_label() -> None:
    """The view's types follow the catalogue's labels."""
    mappings = {field.name for field in fields(EngineView) if "Keyed" in str(field.type)} - ONLY_IN_JSON
    assert "arrival_rate" in mappings
    mappings |= {field.name for field in fields(ModelView) if "Keyed" in str(field.type)}
    assert {metric.field for metric in (*ENGINE_METRICS, *MODEL_METRICS) if metric.extra_labels} == mappings


def test_a_row_of_an_end_of_an_interval_follows_from_its_metric() -> None:
    """Exactly the metrics that have an interval have rows for its ends, which say of what they are the end."""
    ends = [metric for metric in ENGINE_METRICS if metric.part is not Part.VALUE]
    assert set(ends) == {bound for metric in ENGINE_METRICS for bound in metric.bounds()}
    assert {metric.name for metric in ENGINE_METRICS if metric.name.endswith(("_lower", "_upper"))} == {
        metric.name for metric in ends
    }
    for metric in ends:
        assert isinstance(getattr(NOTHING, metric.field), Estimate | KeyedEstimate)
        assert metric.help.startswith(f"{metric.part.capitalize()} end of the 90% interval of ")


def test_names_are_whole_unique_and_described() -> None:
    """A name appears once, begins with the prefix, and has words for an SRE."""
    assert len(BY_NAME) == len(CATALOG)
    for metric in CATALOG:
        assert re.fullmatch(r"kvwatch_[a-z][a-z0-9_]*", metric.name)
        assert len(metric.help) > 20
        assert metric.help.endswith(".")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)


def test_units_stand_in_the_name_where_the_contract_has_them() -> None:
    """Seconds, tokens and ratios that are not utilizations carry their unit."""
    for metric in CATALOG:
        if metric.unit == "s":
            assert "_seconds" in metric.name
        if metric.unit == "tokens":
            assert metric.name.endswith("_tokens")


def test_every_estimate_named_is_one_that_the_core_judges() -> None:
    """The column "valid" of the page leads to a series that exists."""
    fleet = Fleet(CoreOptions(slo=Slo(wait_seconds=1.0)))
    fleet.add("t")
    fleet.observe("t", Scrape(0.0, (EngineSample(EngineKey("m", "0")),)))
    ((engine,),) = (target.engines for target in fleet.view(0.0).targets)
    assert {metric.estimate for metric in CATALOG if metric.estimate} <= set(engine.estimate_valid)
    assert set(JUDGED) <= set(engine.estimate_valid)


def test_the_page_is_current() -> None:
    """docs/metrics.md is what the catalogue says."""
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == metrics_page()


def test_the_page_names_every_metric_and_result() -> None:
    """Nothing exported is undocumented."""
    page = metrics_page()
    assert [metric.name for metric in CATALOG if f"`{metric.name}" not in page] == []
    assert [result for result in SCRAPE_RESULTS if f"- `{result}`: " not in page] == []
