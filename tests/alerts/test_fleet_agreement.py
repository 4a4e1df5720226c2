"""A sidecar beside every engine and the recording rules say what one fleet process says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.core.fleet_model import FleetModel
from kvwatch.core.options import CoreOptions
from kvwatch.export.exposition import Exposition
from kvwatch.views import EngineView, FleetView, ModelView, TargetView, Validity

RULES = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
OPTIONS = CoreOptions()
RECORDED = {
    "model:kvwatch_arrival_rate:sum5m": "model_arrival_rate",
    "model:kvwatch_service_rate:sum": "model_service_rate",
    "model:kvwatch_utilization:ratio5m": "model_utilization",
    "model:kvwatch_utilization:imbalance5m": "model_imbalance_ratio",
    "model:kvwatch_replicas_required:ceil5m": "replicas_required",
}


def target(name: str, arrivals: float, service_rate: float) -> TargetView:
    """A server whose one engine has been watched for an hour; the numbers are exact in binary."""
    rho = arrivals / service_rate
    engine = EngineView(
        name,
        "llama",
        "0",
        arrival_rate={"1m": arrivals, "5m": arrivals},
        service_rate=service_rate,
        utilization={"1m": rho, "5m": rho},
        queue_length=0.0,
        target_utilization=OPTIONS.target_utilization,
        scale_up_seconds=OPTIONS.scale_up_seconds,
        engine_age_seconds=3600.0,
        estimate_valid={"utilization": Validity(True)},
    )
    return TargetView(name, True, 0.5, 0.01, (engine,))


def sidecar_series(view: TargetView) -> list[dict[str, str]]:
    """What a Prometheus has that scrapes a kvwatch beside this server: each pod's kvwatch calls it localhost."""
    exposition = Exposition(lambda: FleetView(0.0, (view,)))
    series = []
    for family in text_string_to_metric_families(exposition.text()[0].decode()):
        for sample in family.samples:
            labels = {**sample.labels, "target": "localhost:8000", "instance": view.target}
            shown = ", ".join(f'{key}="{value}"' for key, value in labels.items())
            series.append({"series": f"{sample.name}{{{shown}}}", "values": f"{sample.value!r}+0x40"})
    return series


@pytest.mark.prometheus
@pytest.mark.parametrize("arrivals", [(2.0, 2.0, 2.0, 4.0), (6.0, 7.0, 8.0, 9.0), (0.5, 0.25), (16.0,)])
def test_rules_over_sidecars_and_the_fleet_process_agree(tmp_path: Path, arrivals: tuple[float, ...]) -> None:
    """λ, μ, ρ, imbalance and the replicas required are the same to the digit, from one engine to several."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    targets = [target(f"pod-{n}", rate, 8.0) for n, rate in enumerate(arrivals)]
    (model,) = FleetModel(OPTIONS).update(0.0, targets)
    expected = [
        {
            "expr": recorded,
            "eval_time": "9m",
            "exp_samples": [{"labels": f'{recorded}{{model_name="llama"}}', "value": number(model, field)}],
        }
        for recorded, field in RECORDED.items()
    ]
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [series for view in targets for series in sidecar_series(view)],
                "promql_expr_test": expected,
            }
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(case), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def number(model: ModelView, field: str) -> float:
    """A number of the model, which must be known."""
    value: float | None = getattr(model, field)
    assert value is not None
    return value
