"""Pages against the truth: how early, how often for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from bench.lead_time import truth
from bench.lead_time.scenarios import STABLE_UP_TO, Case
from bench.lead_time.trace import Array, Labels, Trace, labels_of
from kvwatch.promql.firing import Run
from kvwatch.promql.labels import Mask
from kvwatch.promql.rules import RuleFile, read_rules
from kvwatch.promql.series import Database, Stored

OWN = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
RIVALS = Path(__file__).with_name("rivals.rules.yaml")
KVWATCH = "kvwatch"
"""Name under which kvwatch's critical alerts count: who is on call gets one page, whichever of them fires."""
_PAGE_SEVERITY = "critical"
_SAME_PAGE_SECONDS = 300.0
"""A page that comes back within so long is the same one, as notifications are grouped."""
_CONFIGURED = {"kvwatch_scale_up_seconds": 600.0, "kvwatch_target_utilization": 0.8}
"""Gauges that only repeat the configuration; put in where a trace has none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule in one case. Times in virtual seconds.

    Attributes:
        rule: ``kvwatch`` or a rival's name.
        lead_seconds: From the first page that counts to the instant at which the queue began to grow for good;
            negative if it came after. A page counts if it began after the load began to rise, and either stood at
            that instant, or began at a ρ that is not stable any more. ``None`` where there is no such instant, or no
            page came.
        false_pages: Pages that began in stable time.
        early_pages: Pages that began while the load rose at a ρ still stable, and were over before the queue grew.
        pages: All pages.
    """

    rule: str
    lead_seconds: float | None
    false_pages: int
    early_pages: int
    pages: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A case: when its queue began to grow for good, its stable hours, and what each rule did.

    ``dropped_hours`` are those that the load was stable but the queue stood: from its onset on they do not count.
    """

    case: Case
    onset: float | None
    onset_load: float | None
    stable_hours: float
    verdicts: tuple[Verdict, ...]
    dropped_hours: float = 0.0

    def of(self, rule: str) -> Verdict:
        """A rule's verdict."""
        return next(v for v in self.verdicts if v.rule == rule)


def rule_files() -> tuple[RuleFile, RuleFile]:
    """The file of alerts as it ships, and the rivals'."""
    return read_rules(OWN.read_text()), read_rules(RIVALS.read_text())


def pages(trace: Trace, files: Sequence[RuleFile]) -> dict[str, tuple[Array, Mask]]:
    """Evaluation times, and whether the page of each rule is out, by rule."""
    found: dict[str, tuple[Array, Mask]] = {}
    for file in files:
        times = np.arange(trace.at[0], trace.at[-1] + file.interval, file.interval)
        database = Database({labels: Stored(trace.at, values) for labels, values in trace.series.items()})
        database.append(_configured(trace, database))
        for rule in file.rules:
            if rule.is_alert and _name(rule.name, dict(rule.labels)) is not None:
                found[str(_name(rule.name, dict(rule.labels)))] = (times, np.zeros(len(times), dtype=bool))
        for element in Run(file, database).advance(times):
            name = _name(element.alert.name, dict(element.alert.labels))
            if name is not None:
                found[name] = (times, found[name][1] | element.firing)
    return found


def _name(alert: str, labels: Mapping[str, str]) -> str | None:
    """Under which name an alert counts; ``None`` for one that pages nobody."""
    if alert.startswith("Kvwatch"):
        return KVWATCH if labels.get("severity") == _PAGE_SEVERITY else None
    return alert


def _configured(trace: Trace, database: Database) -> dict[Labels, Stored]:
    targets = {dict(k).get("target") for k in trace.series if dict(k)["__name__"] == "kvwatch_queue_length"}
    return {
        labels_of(
            name, job="kvwatch", instance="kvwatch:9718", target=str(target), model_name="emulated", engine="0"
        ): Stored(trace.at, np.full(len(trace.at), value))
        for name, value in _CONFIGURED.items()
        if name not in database.names
        for target in targets
    }


def spells(times: Array, out: Mask) -> list[tuple[float, float]]:
    """Begin and end of each page; one that comes back soon goes on."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], out.astype(int), [0]))))
    found: list[tuple[float, float]] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        start, stop = float(times[begin]), float(times[end]) if end < len(times) else inf
        if found and start - found[-1][1] <= _SAME_PAGE_SECONDS:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def judge(case: Case, trace: Trace, files: Sequence[RuleFile]) -> Judged:
    """What each rule did in a case."""
    onset = truth.onset(trace)
    meant = _stable(case, trace)
    stable = [(start, min(end, inf if onset is None else onset)) for start, end in meant]
    verdicts = []
    for rule, (times, out) in sorted(pages(trace, files).items()):
        found = [
            _Page(start, end, float(truth.load(case, trace, np.array([start]))[0])) for start, end in spells(times, out)
        ]
        verdicts.append(_verdict(rule, found, case, onset, stable))
    at_onset = None if onset is None else float(truth.load(case, trace, np.array([onset]))[0])
    return Judged(case, onset, at_onset, _hours(stable), tuple(verdicts), _hours(meant) - _hours(stable))


def _hours(stretches: Sequence[tuple[float, float]]) -> float:
    return sum(max(end - start, 0.0) for start, end in stretches) / 3600


def _stable(case: Case, trace: Trace) -> list[tuple[float, float]]:
    """Stretches of time at a ρ that counts as stable, before the load begins to rise towards overload.

    They are what is meant: a queue that stands all the same ends them earlier.
    """
    end = float(trace.at[-1])
    if case.kind == "bursts" or (case.kind == "stable" and not case.steady):
        return []
    if case.steady:
        at = np.array([0.0, case.rise_at + case.rise_seconds, end])
        return [(0.0, end)] if truth.load(case, trace, at).max() <= 0.86 else [(0.0, case.rise_at)]
    return [(0.0, case.rise_at)] if case.rise_at else []


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: its begin and end [s], and ρ when it began."""

    start: float
    end: float
    load: float


def _verdict(
    rule: str, found: list[_Page], case: Case, onset: float | None, stable: list[tuple[float, float]]
) -> Verdict:
    false = [p for p in found if any(a <= p.start < b for a, b in stable)]
    if onset is None:
        return Verdict(rule, None, len(false), 0, len(found))
    rising = [p for p in found if p.start >= case.rise_at]
    counted = [p for p in rising if p.end > onset or p.load > STABLE_UP_TO]
    lead = onset - counted[0].start if counted else None
    return Verdict(rule, lead, len(false), len(rising) - len(counted), len(found))
