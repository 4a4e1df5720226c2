"""Rendering the chart, and looking things up in what comes out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "kvwatch"
CASES = Path(__file__).with_name("cases")

Object = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """A Helm binary."""

    binary: Path

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it, without a cluster and without the user's own settings."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
        return subprocess.run(
            [self.binary, *arguments], input=stdin, env=environment, capture_output=True, text=True, check=False
        )

    def template(self, values: Path | str | dict[str, Any], *arguments: str) -> list[Object]:
        """The objects that the chart makes of ``values``: a file, or YAML, or data."""
        done = self.try_template(values, *arguments)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    def try_template(self, values: Path | str | dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, where it may fail."""
        if isinstance(values, Path):
            values = values.read_text(encoding="utf-8")
        text = values if isinstance(values, str) else yaml.safe_dump(values)
        return _template(self, text, arguments)


@cache
def _template(helm: Helm, text: str, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """What Helm makes of values; the chart does not change while the tests run, so each is rendered once."""
    return helm.run("template", "kvwatch", CHART, "--namespace", "monitoring", "--values", "-", *arguments, stdin=text)


def cases() -> list[Path]:
    """The values files that the tests render, one for each mode, and the defaults."""
    found = sorted(CASES.glob("*.yaml"))
    assert len(found) >= 4
    return found


def named(name: str) -> Path:
    """The values file of a case."""
    (found,) = (path for path in cases() if path.stem == name)
    return found


def one(objects: list[Object], kind: str) -> Object:
    """The only object of a kind."""
    (found,) = (item for item in objects if item["kind"] == kind)
    return found


def kinds(objects: list[Object]) -> set[str]:
    """The kinds there are."""
    return {item["kind"] for item in objects}


def kvwatch_yaml(objects: list[Object]) -> Object:
    """The kvwatch.yaml among the objects; that of each namespace is the same."""
    texts = {item["data"]["kvwatch.yaml"] for item in objects if "kvwatch.yaml" in item.get("data", {})}
    (text,) = texts
    found: Object = yaml.safe_load(text)
    return found


def pod_templates(value: Any) -> Iterator[Object]:
    """Everything, however deep, that has a spec with containers: pods and templates of pods."""
    if isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield value
        for child in value.values():
            yield from pod_templates(child)
    elif isinstance(value, list):
        for child in value:
            yield from pod_templates(child)
