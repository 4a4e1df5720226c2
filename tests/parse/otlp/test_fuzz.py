"""The fuzzing command works: a few seconds of what it does for ten minutes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


@pytest.mark.long
def test_random_exports_raise_nothing_and_leave_nothing() -> None:
    """Hypothesis' engine through decoder, intake and core; atheris is for the long runs."""
    command = [sys.executable, "-m", "tests.fuzz.otlp", "--engine", "hypothesis", "--seconds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"hypothesis: ([\d,]+) exports", done.stdout)
    assert tried is not None
    assert int(tried[1].replace(",", "")) >= 300
