"""A rule file as Prometheus has it: recording rules, and alerts with ``for`` and ``keep_firing_for``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from kvwatch.promql.evaluation import parsed

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
DEFAULT_INTERVAL_SECONDS = 60.0
"""How often rules are evaluated where nobody says it [s]. Definition: Prometheus' global.evaluation_interval."""


class RuleFileError(ValueError):
    """A text that is no rule file; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule (no ``for``) or an alert; durations in seconds, ``interval`` that of its group."""

    name: str
    expression: str
    is_alert: bool
    hold_seconds: float = 0.0
    keep_seconds: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    interval: float = DEFAULT_INTERVAL_SECONDS

    @property
    def severity(self) -> str:
        """Its label of that name; empty without one."""
        return dict(self.labels).get("severity", "")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """Rules in the file's order."""

    rules: tuple[Rule, ...]

    @property
    def interval(self) -> float:
        """The shortest interval of its groups [s]."""
        return min((rule.interval for rule in self.rules), default=DEFAULT_INTERVAL_SECONDS)

    @property
    def alerts(self) -> tuple[Rule, ...]:
        """The alerts alone."""
        return tuple(rule for rule in self.rules if rule.is_alert)


def read_rules(text: str, default_interval: float = DEFAULT_INTERVAL_SECONDS) -> RuleFile:
    """The rules of a file's text.

    Raises:
        RuleFileError: it is no rule file, or an expression in it is no PromQL.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise RuleFileError(f"{where}not YAML: {getattr(error, 'problem', None) or error}") from None
    groups = document.get("groups") if isinstance(document, dict) else None
    if not isinstance(groups, list) or not groups:
        raise RuleFileError("no list of groups, as Prometheus' rule files have one")
    rules: list[Rule] = []
    for number, group in enumerate(groups, 1):
        if not isinstance(group, dict) or not isinstance(group.get("rules"), list):
            raise RuleFileError(f"group {number} has no list of rules")
        name = str(group.get("name", number))
        interval = _seconds(group.get("interval"), default_interval, f"group {name}: interval")
        rules += [_rule(entry, interval, f"group {name}, rule {i}") for i, entry in enumerate(group["rules"], 1)]
    return RuleFile(tuple(rules))


def _rule(entry: object, interval: float, where: str) -> Rule:
    if not isinstance(entry, dict) or ("alert" in entry) == ("record" in entry) or "expr" not in entry:
        raise RuleFileError(f"{where}: needs alert or record, and expr")
    name = str(entry.get("alert") or entry.get("record"))
    expression = str(entry["expr"])
    try:
        parsed(expression)
    except ValueError as error:
        raise RuleFileError(f"{where} ({name}): expr is no PromQL: {error}") from None
    return Rule(
        name=name,
        expression=expression,
        is_alert="alert" in entry,
        hold_seconds=_seconds(entry.get("for"), 0.0, f"{where} ({name}): for"),
        keep_seconds=_seconds(entry.get("keep_firing_for"), 0.0, f"{where} ({name}): keep_firing_for"),
        labels=_labels(entry.get("labels") or {}, f"{where} ({name})"),
        interval=interval,
    )


def _labels(given: Mapping[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, dict):
        raise RuleFileError(f"{where}: labels is no mapping")
    return tuple(sorted((str(k), str(v)) for k, v in given.items()))


def _seconds(given: object, default: float, where: str) -> float:
    """A duration as Prometheus writes it, such as 1m30s."""
    if given is None:
        return default
    text = str(given)
    parts = _PART.findall(text)
    if text != "0" and (not parts or "".join(digits + unit for digits, unit in parts) != text):
        raise RuleFileError(f"{where}: {text!r} is no duration such as 5m or 1m30s")
    return sum(float(digits) * _UNITS[unit] for digits, unit in parts)
