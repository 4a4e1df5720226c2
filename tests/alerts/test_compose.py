"""What compose/ starts is configured so that each part accepts it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kvwatch.config import load_config
from tests.alerts.compose_parts import Loader
from tests.alerts.compose_parts import services as services_of_both
from tests.alerts.test_rules import ALERT_RULES, COMPOSE, ROOT, RULES, tool

ALERTMANAGER = COMPOSE / "alertmanager" / "alertmanager.yml"


@pytest.mark.prometheus
def test_promtool_accepts_prometheus_configuration_with_the_rules(tmp_path: Path) -> None:
    """At the places where the containers see the files."""
    (tmp_path / "rules").mkdir()
    shutil.copy(RULES, tmp_path / "rules")
    shutil.copy(COMPOSE / "prometheus" / "prometheus.yml", tmp_path)
    assert "1 rule files found" in tool("promtool", "check", "config", tmp_path / "prometheus.yml")


@pytest.mark.prometheus
def test_amtool_accepts_alertmanagers_configuration() -> None:
    """Routes, receivers, inhibitions and time intervals."""
    tool("amtool", "check-config", ALERTMANAGER)


@pytest.mark.prometheus
@pytest.mark.parametrize("alert", ALERT_RULES)
def test_an_alert_goes_where_its_severity_says(alert: str) -> None:
    """Critical ones page, warnings make a ticket, the rest is for inhibition only."""
    severity = ALERT_RULES[alert]["labels"]["severity"]
    receiver = {"critical": "page", "warning": "ticket", "none": "nobody"}[severity]
    labels = [f"alertname={alert}", f"severity={severity}", "model_name=m"]
    tool(
        "amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", f"--verify.receivers={receiver}", *labels
    )


def test_inhibitions_name_alerts_that_exist() -> None:
    """A renamed alert would page beside the one that should silence it."""
    rules = yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
    for rule in rules:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = matcher.split('"')[1]
            prefix, _, choices = pattern.partition("(")
            for name in [prefix + c for c in choices.rstrip(")").split("|")] if choices else [pattern]:
                assert name in ALERT_RULES, name


def test_images_are_pinned_and_files_that_are_mounted_exist() -> None:
    """A tag that moves, or a folder that docker makes up for a missing file, breaks a stack months later."""
    merged = services_of_both()
    for file in ("compose.yaml", "no-gpu.yaml"):
        services = yaml.load((COMPOSE / file).read_text(), Loader=Loader)["services"]
        for name, service in services.items():
            assert "image" in service or name in merged, f"{name} of {file} is no service"
            assert service.get("image", "x:1").partition(":")[2] not in {"", "latest"}
            for volume in service.get("volumes") or ():
                source = volume.split(":")[0]
                if source.startswith("."):
                    assert (COMPOSE / source).exists(), volume


def test_nothing_is_open_to_the_network_and_nothing_is_secret() -> None:
    """Ports are those of this machine alone, and no value in the files is a password, a token or a key."""
    for file in ("compose.yaml", "no-gpu.yaml"):
        for service in yaml.load((COMPOSE / file).read_text(), Loader=Loader)["services"].values():
            assert [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")] == []
    secret = re.compile(r"(?:password|passwd|token|secret|api_?key)\"?\s*[:=]\s*\"?[^\s\"$]", re.IGNORECASE)
    texts = [path.read_text() for path in COMPOSE.rglob("*") if path.is_file()]
    assert len(texts) >= 7
    assert [found.group() for text in texts for found in secret.finditer(text)] == []
    assert secret.search('GF_SECURITY_ADMIN_PASSWORD: "admin"'), "the search can find one"


def test_only_a_kvwatch_that_watches_is_asked_for_its_health() -> None:
    """The image's health check asks `kvwatch run`; whatever else runs from it would be unhealthy for ever."""
    for service in services_of_both().values():
        other = service["image"].startswith("kvwatch:") and service.get("command", ["-"])[0] != "run"
        assert not other or "entrypoint" in service or service["healthcheck"] == {"disable": True}


def test_kvwatch_accepts_its_configuration() -> None:
    """And its limits are those that vLLM is started with; the emulated engine is watched with the rest as it is."""
    emulated = load_config(COMPOSE / "no-gpu-kvwatch.yaml")
    assert emulated.targets[0].base_url == load_config(COMPOSE / "kvwatch.yaml").targets[0].base_url
    assert emulated.estimates == load_config(COMPOSE / "kvwatch.yaml").estimates
    config = load_config(COMPOSE / "kvwatch.yaml")
    command = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["vllm"]["command"]
    for flag, value in (
        ("--max-num-seqs", config.targets[0].max_num_seqs),
        ("--max-num-batched-tokens", config.targets[0].max_num_batched_tokens),
    ):
        assert command[command.index(flag) + 1] == str(value)


def test_grafana_finds_its_dashboards_and_its_data() -> None:
    """The provisioning names the paths and services of the compose file."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    folder = COMPOSE / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"].removeprefix("http://").split(":")[0] in services
    path = yaml.safe_load((folder / "dashboards" / "kvwatch.yaml").read_text())["providers"][0]["options"]["path"]
    mounted = [v.split(":")[1] for v in services["grafana"]["volumes"]]
    assert {f"{path}/{p.name}" for p in (ROOT / "dashboards").glob("*.json")} <= set(mounted)


@pytest.mark.prometheus
def test_the_parts_work_together(tmp_path: Path) -> None:
    """As plain processes with these files: all targets answer, rules find the engine, pages find their receiver."""
    inside = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    refused = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if refused.returncode:
        pytest.skip(f"namespaces are not to be had: {refused.stderr}")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "tests.alerts.compose_parts", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["targets"] == {"kvwatch": "up", "vllm": "up", "prometheus": "up"}, found["logs"]
    assert found["alertmanagers"] == ["http://alertmanager:9093/api/v2/alerts"]
    assert found["receivers"] == ["page", "ticket", "nobody"]
    assert {name: health for name, health in found["rules"].items() if health != "ok"} == {}
    assert found["rules"].keys() >= ALERT_RULES.keys()
    assert found["watched"] == {"emulated": 1.0}, "kvwatch does not show the engine that Prometheus reads"
    assert set(found["ended"].values()) == {0}, found["logs"]
    assert found["state"], "kvwatch's state is not kept in its volume"
    assert not re.search("warning|error", found["logs"]["kvwatch"]), found["logs"]["kvwatch"]
