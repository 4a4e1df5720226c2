"""The rules that the end-to-end tests run are those that ship, with all times shorter and nothing else changed."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import promql_parser
import yaml

from tests.e2e.shorten import shorten

RULES = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
NUMBER = re.compile(r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.])")


def test_every_number_of_seconds_is_divided() -> None:
    """No rule compares or divides by another number of 60 or more, so each of those is a time."""
    content = yaml.safe_load(RULES.read_text())
    short = shorten(copy.deepcopy(content), 1000.0)
    seen = 0
    for before, after in zip(content["groups"], short["groups"], strict=True):
        for rule, made in zip(before["rules"], after["rules"], strict=True):
            large = [number for number in NUMBER.findall(rule["expr"]) if float(number) >= 60]
            seen += len(large)
            assert [number for number in NUMBER.findall(made["expr"]) if float(number) >= 60] == [], rule["expr"]
            promql_parser.parse(made["expr"])
    assert seen > 10


def test_durations_of_several_units_are_divided_whole() -> None:
    """Of ten minutes less five seconds, a tenth."""
    rules = {
        "groups": [{"rules": [{"expr": "max_over_time(x[9m55s] offset 1h) > 90 * 7 + y[5m:30s]", "for": "1m30s"}]}]
    }
    (rule,) = shorten(rules, 10.0)["groups"][0]["rules"]
    assert rule["expr"] == "max_over_time(x[59500ms] offset 360000ms) > 9 * 7 + y[30000ms:3000ms]"
    assert rule["for"] == "9000ms"
