"""promtool over the rules that ship: what it finds wrong, and what it says that a page's text is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.alerts.sidecars import RULES

PAGES = ("KvwatchSaturationApproaching", "KvwatchSaturated", "KvwatchOverloaded")
"""The pages about a model's load."""
_MISMATCH = re.compile(r"alertname: (\w+), time: (\w+),\s+exp:\[\s*\],\s+got:\[(.*?)\n +\]", re.DOTALL)
"""How promtool prints alerts that were not to be there."""
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def run(
    folder: Path,
    given: Sequence[Mapping[str, str]],
    interval: int,
    queries: Sequence[Mapping[str, object]] = (),
    alerts: Sequence[Mapping[str, object]] = (),
) -> str:
    """What is wrong with what the rules make of series that have a value each ``interval`` [s], or nothing.

    ``queries`` and ``alerts`` are what is expected, as promtool has it.
    """
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the PATH")
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{min(interval, 15)}s",
        "group_eval_order": [group["name"] for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]],
        "tests": [
            {
                "interval": f"{interval}s",
                "input_series": list(given),
                "promql_expr_test": list(queries),
                "alert_rule_test": list(alerts),
            }
        ],
    }
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump(case, width=10**7), encoding="utf-8")
    command = ["promtool", "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def texts(
    folder: Path, given: Sequence[Mapping[str, str]], interval: int, times: Iterable[int]
) -> dict[tuple[str, int], dict[str, str]]:
    """Annotations of the pages that fire, by name and time [s]: what promtool got where it was to get nothing."""
    wanted = [{"alertname": name, "eval_time": f"{at}s", "exp_alerts": []} for at in times for name in PAGES]
    said = run(folder, given, interval, alerts=wanted)
    found = {}
    for name, time, got in _MISMATCH.findall(said):
        notes = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', got.split("Annotations:")[1]))
        found[name, _seconds(time)] = {key: value.replace('\\"', '"') for key, value in notes.items()}
    return found


def _seconds(time: str) -> int:
    """A time as promtool prints it, such as ``1h2m30s``."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([hms])", time))
