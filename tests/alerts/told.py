"""What each place where people or machines look says at one moment of a story, as numbers that can be held together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.cli.status import Look
from kvwatch.export.exposition import Exposition
from kvwatch.export.json_api import fleet_json
from kvwatch.page.feed import Feed
from kvwatch.views import FleetView
from tests.alerts.story import MODEL
from tests.dashboards.boards import filled, panels

GOLDEN = Path(__file__).parents[1] / "helm" / "golden"
SCRAPED_AS = {"job": "kvwatch", "instance": "kvwatch:9718", "namespace": "monitoring"}
"""Labels that Prometheus adds, as the chart's own monitor leads to."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """Everything that is said at one moment.

    Attributes:
        samples: Of ``/metrics``, by their whole names.
        document: The answer of ``/api/v1/engines``.
        rows: What the page's table is sent, by target.
        details: The page's document of each engine, by target.
        look: What ``kvwatch status`` makes of the answer.
    """

    at: int
    samples: Mapping[str, float]
    document: Json
    rows: Mapping[str, Json]
    details: Mapping[str, Json]
    look: Look

    @classmethod
    def of(cls, at: int, view: FleetView) -> Told:
        """What is said of a view."""
        document = orjson.loads(orjson.dumps(fleet_json(view, targets=True)))
        feed = Feed()
        feed.update(view)
        rows = {row["target"]: row for row in json.loads(feed.changes(0, set()))["engines"]}
        details = {str(one["target"]): one for one in feed.documents()}
        return cls(at, _samples(view), document, rows, details, Look.of([document]))

    @property
    def engines(self) -> list[Json]:
        """The documents of the engines."""
        found: list[Json] = self.document["engines"]
        return found

    @property
    def model(self) -> Json:
        """The document of the only model."""
        (found,) = self.document["models"]
        return dict(found)

    def sample(self, name: str, **labels: str) -> float | None:
        """A sample of ``/metrics``."""
        return self.samples.get(series(name, **labels))

    def keda_metrics_api(self) -> float | None:
        """What KEDA's metrics-api trigger finds where the chart tells it to look, for a model without roles."""
        location = trigger("fleet-keda")["valueLocation"]
        found = re.fullmatch(r'models\.#\(model_name=="(.+)"\)#\|#\(role=="(.+)"\)\.(\w+)', location)
        assert found is not None, location
        (model,) = (one for one in self.document["models"] if one["model_name"] == MODEL)
        value = model.get(found[3])
        return None if value is None else float(value)


def _samples(view: FleetView) -> dict[str, float]:
    text = Exposition(lambda: view).text()[0].decode()
    return {
        series(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def series(name: str, **labels: str) -> str:
    """A series as Prometheus stores it."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted((SCRAPED_AS | labels).items()))
    return f"{name}{{{inside}}}"


def trigger(golden: str) -> Json:
    """The first trigger of the chart's ScaledObject in one of the rendered charts."""
    (scaled,) = (item for item in _rendered(golden) if item["kind"] == "ScaledObject")
    return dict(scaled["spec"]["triggers"][0]["metadata"])


def keda_query(golden: str) -> str:
    """What KEDA asks Prometheus for the story's model."""
    return _of_model(trigger(golden)["query"])


def adapter_query(golden: str) -> str:
    """What prometheus-adapter asks for the external metric of the HPA."""
    rules = [
        rule
        for item in _rendered(golden)
        if item["kind"] == "ConfigMap" and "config.yaml" in item["data"]
        for rule in (yaml.safe_load(item["data"]["config.yaml"]) or {}).get("externalRules", ())
    ]
    return _of_model(rules[0]["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="monitoring"'))


def _rendered(golden: str) -> list[Json]:
    return [item for item in yaml.safe_load_all((GOLDEN / f"{golden}.yaml").read_text()) if item]


def _of_model(query: str) -> str:
    return re.sub(r'model_name="[^"]*"', f'model_name="{MODEL}"', query)


def dashboard_query(board: str, title: str, ref: str, **variables: str) -> str:
    """A query of a panel of the committed dashboards."""
    (panel,) = (panel for panel in panels(board) if panel["title"] == title)
    (query,) = (target["expr"] for target in panel["targets"] if target["refId"] == ref)
    return filled(query, model_name=MODEL, **variables)
