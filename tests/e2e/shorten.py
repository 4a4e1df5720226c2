"""The rules that ship, with every duration divided: times in PromQL, in `for`, and seconds written as numbers."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600}
_RANGE = re.compile(r"(\[|offset |(?<=[smh]):)(\d+)([smh])")
_SECONDS = re.compile(r"(?<![\w.:])(60|90|120|300|390|900|1800|3600|7200)(?![\w.])")


def duration(text: str, speed: float) -> str:
    """A Prometheus duration of one unit, divided."""
    return f"{round(1000 * int(text[:-1]) * _UNITS[text[-1]] / speed)}ms"


def shorten(rules: dict[str, Any], speed: float) -> dict[str, Any]:
    """The rule file's content, changed in place."""
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            expr = _RANGE.sub(lambda m: m[1] + duration(m[2] + m[3], speed), rule["expr"])
            rule["expr"] = _SECONDS.sub(lambda m: f"{int(m[1]) / speed:g}", expr)
            for key in ("for", "keep_firing_for"):
                if key in rule:
                    rule[key] = duration(rule[key], speed)
    return rules
