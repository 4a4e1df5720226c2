"""The reports against a validator of HTML, which knows what may stand in what and what each role needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "validate_html.sh"
pytestmark = pytest.mark.node


def validate(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as CI does."""
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run(
        [SCRIPT, *files], env=environment, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip


def test_the_reports_are_valid(reports: dict[str, Path]) -> None:
    """Nothing is found by the standard's rules or by those of accessibility."""
    done = validate(*reports.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(reports)} pages are valid" in done.stdout


def test_the_validator_finds_faults_of_each_kind(reports: dict[str, Path]) -> None:
    """An element where it may not stand, a doubled id and a picture without words are all named."""
    page = reports["backtest"]
    wrong = page.read_text().replace("<main>", '<main><ul id="queue-1"><img src="x.png"></ul>')
    page.write_text(wrong)
    done = validate(page)
    assert done.returncode != 0
    assert all(words in done.stdout for words in ("queue-1", "alt", "<ul>")), done.stdout
