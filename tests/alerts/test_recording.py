"""On the recorded ramp of a real vLLM the page comes before the queue fills for good.

A few requests may have waited for seconds before it; at the page's time or later the queue is empty once more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvwatch.export.catalog import BY_NAME
from tests.alerts.test_rules import ROOT, RULES

pytestmark = pytest.mark.prometheus
RECORDING = ROOT / "tests" / "data" / "recordings" / "ramp11"
SCRAPE_SECONDS = 15
RAMP_FROM = 150
"""The recording begins with a saturated spell that ends in mass aborts; from here on λ's minute is the ramp's."""
GROWN = 10


def test_the_page_comes_before_the_queue_fills_for_good_on_a_real_ramp(tmp_path: Path) -> None:
    """Replayed, sampled every 15 seconds as by a Prometheus, and judged by promtool with the rules that ship."""
    scrapes = _scrapes()
    waiting = [float(scrape["queue_length"]) for scrape in scrapes]
    grows = next(i for i in range(RAMP_FROM // SCRAPE_SECONDS, len(waiting)) if min(waiting[i:]) > GROWN)
    pages = [at for at in _pages(scrapes, tmp_path) if at >= RAMP_FROM]
    assert pages, "no page"
    first = min(pages) // SCRAPE_SECONDS
    assert first < grows
    assert 0 in waiting[first + 1 : grows], "the queue had not been empty since the page"


def _scrapes() -> list[dict[str, Any]]:
    """What kvwatch said of the engine at each of Prometheus' scrapes."""
    command = [sys.executable, "-m", "kvwatch", "replay", str(RECORDING), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    known = [line for line in lines if line["engines"]]
    kept: list[dict[str, Any]] = []
    for line in known:
        if line["t"] >= known[0]["t"] + SCRAPE_SECONDS * len(kept):
            kept.append(line["engines"][0])
    return kept


def _series(scrapes: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Exported series by name and labels; None where one was not there."""
    found: dict[str, list[float | None]] = defaultdict(lambda: [None] * len(scrapes))
    for place, scrape in enumerate(scrapes):
        base = "".join(f',{label}="{scrape[label]}"' for label in ("target", "model_name", "engine"))
        for key, value in scrape.items():
            metric = BY_NAME.get(f"kvwatch_{key}")
            if metric is None:
                continue
            if key == "estimate_valid":
                for estimate, verdict in value.items():
                    labels = f'estimate="{estimate}",reason="{verdict["reason"]}"'
                    found[f"{metric.name}{{{labels}{base}}}"][place] = verdict["valid"]
            elif isinstance(value, dict):
                for names, number in _numbers(value):
                    pairs = zip(metric.extra_labels, names, strict=True)
                    labels = ",".join(f'{label}="{name}"' for label, name in pairs)
                    found[f"{metric.name}{{{labels}{base}}}"][place] = number
            elif isinstance(value, int | float):
                found[f"{metric.name}{{{base[1:]}}}"][place] = value
    return found


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    """The numbers of a metric with labels beside those of its engine, each with the values of those labels."""
    for name, value in values.items():
        for names, number in _numbers(value) if isinstance(value, dict) else (((), value),):
            yield (name, *names), number


def _pages(scrapes: list[dict[str, Any]], folder: Path) -> list[int]:
    """Seconds at which KvwatchSaturationApproaching fires, as promtool evaluates the rules."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.pop("keep_firing_for", None)  # the saturated spell at the recording's start pages too, and would be held
    (folder / RULES.name).write_text(yaml.safe_dump(rules))
    # promtool knows no staleness by itself: a series that is gone would live on for five minutes
    series = [
        {"series": name, "values": " ".join("stale" if v is None else f"{v:g}" for v in values)}
        for name, values in _series(scrapes).items()
    ]
    times = [SCRAPE_SECONDS * i for i in range(len(scrapes))]
    # every time is expected to be silent, so that promtool names those that are not
    checks = [{"alertname": "KvwatchSaturationApproaching", "eval_time": f"{at}s"} for at in times]
    groups = [group["name"] for group in rules["groups"]]
    test = {"interval": f"{SCRAPE_SECONDS}s", "input_series": series, "alert_rule_test": checks}
    content = {
        "rule_files": [RULES.name],
        "evaluation_interval": "15s",
        "group_eval_order": groups,
        "tests": [test],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(content, width=10**6))
    command = ["promtool", "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.findall(r"alertname: \w+, time: (?:(\d+)m)?(?:(\d+)s)?", done.stdout + done.stderr)
    assert found or done.returncode == 0, done.stderr
    firing = {60 * int(minutes or 0) + int(seconds or 0) for minutes, seconds in found}
    return sorted(firing)
