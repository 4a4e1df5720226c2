"""The dashboards fit the types that Grafana publishes for TypeScript."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboards.boards import text

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.node


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as CI does."""
    environment = os.environ | {"PYTHON": sys.executable}
    command = [ROOT / "scripts" / "check_dashboard_types.sh", *files]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_dashboards_fit_grafanas_types() -> None:
    """The TypeScript compiler finds nothing in either, in the options of each panel neither."""
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 dashboards fit" in done.stdout


def test_the_compiler_finds_faults_of_each_kind(tmp_path: Path) -> None:
    """A mode that does not exist, an option that its panel does not have and a number as a text are all named."""
    wrong = text("engine.json")
    for right, fault in (
        ('"mode": "absolute"', '"mode": "absolutely"'),
        ('"wideLayout": false', '"wideLayouts": false'),
        ('"schemaVersion": 39', '"schemaVersion": "39"'),
    ):
        assert right in wrong
        wrong = wrong.replace(right, fault)
    (tmp_path / "wrong.json").write_text(wrong, encoding="utf-8")
    done = check(tmp_path / "wrong.json")
    assert done.returncode != 0
    assert all(word in done.stdout for word in ('"absolutely"', "'\"wideLayouts\"'", "'number'")), done.stdout
