"""The rules that ship, with every duration divided: times in PromQL, in `for`, and seconds written as numbers."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"(\d+)([smh])")
_RANGE = re.compile(r"(\[|offset |(?<=[smh]):)((?:\d+[smh])+)")
_NUMBER = re.compile(r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.])")
_LEAST_SECONDS = 60.0
"""From here on a number in a rule is a time [s]: shares, counts and deviations are smaller."""


def duration(text: str, speed: float) -> str:
    """A Prometheus duration such as ``5m`` or ``9m55s``, divided."""
    seconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return f"{round(1000 * seconds / speed)}ms"


def _divided(number: str, speed: float) -> str:
    return f"{float(number) / speed:g}" if float(number) >= _LEAST_SECONDS else number


def shorten(rules: dict[str, Any], speed: float) -> dict[str, Any]:
    """The rule file's content, changed in place."""
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            expr = _RANGE.sub(lambda m: m[1] + duration(m[2], speed), rule["expr"])
            rule["expr"] = _NUMBER.sub(lambda m: _divided(m[0], speed), expr)
            for key in ("for", "keep_firing_for"):
                if key in rule:
                    rule[key] = duration(rule[key], speed)
    return rules
