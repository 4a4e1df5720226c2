"""When the alerts of a rule file fire over stored series, stretch of time after stretch of time.

Rules are evaluated in the order of the file at common times, so that a rule sees those above it at the same instant.
Prometheus spreads its groups over their interval; what another group recorded may be older there by up to one.
What fires is stored as ``ALERTS``, as Prometheus does it, for rules that ask for it one evaluation later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np

from kvwatch.promql.evaluation import evaluate
from kvwatch.promql.labels import NAME, Array, Labels, Mask, labels_of, without
from kvwatch.promql.rules import Rule, RuleFile
from kvwatch.promql.selectors import names_in, reach_seconds
from kvwatch.promql.series import Column, Database, Stored, merged

ALERTS = "ALERTS"
_MOST_PASSES = 8
"""Passes over a stretch of time until what fires no longer changes [1]. Choice: rules that wait for each other's alerts
need one for each link of the chain, and kvwatch's have one."""
_AFTER_EVALUATION_SECONDS = 0.001
"""How long after an evaluation its ALERTS are stored [s]. Definition: a millisecond, the resolution of
time stamps, so that the same evaluation does not see them."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert's element over all evaluation times of a stretch: whether it fires, and its expression's value."""

    alert: Rule
    labels: Labels
    firing: Mask
    values: Array


@dataclass(slots=True)
class State:
    """Where an element is between two evaluations: since when its result is there, or gone, and whether it fires."""

    since: float | None = None
    gone: float | None = None
    fires: bool = False


@dataclass(slots=True)
class Run:
    """A rule file's evaluation over time. ``database`` is given the scraped series of each stretch before it."""

    file: RuleFile
    database: Database = field(default_factory=lambda: Database({}))
    _states: dict[tuple[int, Labels], State] = field(default_factory=dict)

    def advance(self, times: Array) -> list[Firing]:
        """Evaluate the next stretch; :meth:`forget` what is too old for any later one before the next.

        Raises ValueError where Prometheus would fail the evaluation.
        """
        found = self._settled(times)
        self._states = {key: state for key, state, _ in found}
        return [firing for _, _, firing in found]

    def forget(self, at: float) -> None:
        """Drop the samples that nothing after ``at`` [s] depends on."""
        self.database = self.database.trimmed(at - self._reach)

    @property
    def _reach(self) -> float:
        """How far back rules look [s]: what they record is kept as long, so each rule's own reach is enough."""
        return max((reach_seconds(rule.expression) for rule in self.file.rules), default=0.0)

    @property
    def _asks_for_alerts(self) -> bool:
        return any(ALERTS in names_in(rule.expression) for rule in self.file.rules)

    def _settled(self, times: Array) -> list[tuple[tuple[int, Labels], State, Firing]]:
        """Evaluate until the ALERTS that rules have seen are those that fire."""
        base = self.database
        known: dict[Labels, Stored] = {}
        for _ in range(_MOST_PASSES):
            self.database = base.trimmed(-np.inf)
            self.database.append(known)
            found = list(self._pass(times))
            fired = _as_alerts([firing for _, _, firing in found], times)
            if not self._asks_for_alerts or _same(fired, known):
                return found
            known = fired
        raise ValueError("alerts that depend on each other's ALERTS do not settle")

    def _pass(self, times: Array) -> Iterator[tuple[tuple[int, Labels], State, Firing]]:
        for number, rule in enumerate(self.file.rules):
            value = evaluate(rule.expression, self.database, times, self.file.interval)
            columns = value if isinstance(value, list) else [Column((), value, np.ones(len(times), dtype=bool))]
            if not rule.is_alert:
                own = dict(rule.labels)
                # what had different names before, as after an `or`, is one series under the rule's
                named = merged([Column(_named(c.labels, rule.name, own), c.values, c.there) for c in columns])
                self.database.append({c.labels: _as_stored(c, times) for c in named})
                continue
            # labels of the rule make elements equal, or tell what had several names apart no longer
            elements = {
                c.labels: c for c in merged([Column(without(c.labels, NAME), c.values, c.there) for c in columns])
            }
            waiting = {labels for known, labels in self._states if known == number}
            for labels in [*elements, *(waiting - elements.keys())]:
                c = elements.get(labels) or Column(labels, np.full(len(times), nan), np.zeros(len(times), dtype=bool))
                before = self._states.get((number, labels), State())
                firing, after = alert_state(c.there, times, rule.hold_seconds, rule.keep_seconds, before)
                if after.since is not None or firing.any():
                    values = np.where(c.there, c.values, nan)
                    yield (number, labels), after, Firing(rule, labels, firing, values)


def _named(labels: Labels, name: str, own: dict[str, str]) -> Labels:
    return tuple(sorted({**dict(labels), **own, NAME: name}.items()))


def _as_stored(column: Column, times: Array) -> Stored:
    return Stored(times, np.where(column.there, column.values, nan))


def _as_alerts(found: Sequence[Firing], times: Array) -> dict[Labels, Stored]:
    """What Prometheus stores of alerts that fire."""
    columns = [
        Column(
            labels_of(
                ALERTS, **{**dict(f.labels), **dict(f.alert.labels), "alertname": f.alert.name, "alertstate": "firing"}
            ),
            np.ones(len(times)),
            f.firing,
        )
        for f in found
        if f.firing.any()
    ]
    at = times + _AFTER_EVALUATION_SECONDS
    return {c.labels: Stored(at, np.where(c.there, 1.0, nan)) for c in merged(columns)}


def _same(a: dict[Labels, Stored], b: dict[Labels, Stored]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(s.values, b[k].values, equal_nan=True) for k, s in a.items())


def alert_state(
    active: Mask, times: Array, hold_seconds: float, keep_seconds: float, before: State
) -> tuple[Mask, State]:
    """When an alert fires whose expression has a result at the times ``active``, and its state after them.

    It fires once the result has been there for ``for``, and goes on for ``keep_firing_for`` after it has gone.
    """
    firing = np.zeros(len(times), dtype=bool)
    since, gone, fires = before.since, before.gone, before.fires
    if since is None and not active.any():
        return firing, State()
    # between two changes of `active` nothing happens but by the two durations
    for i, (there, at) in enumerate(zip(active.tolist(), times.tolist(), strict=True)):
        if there:
            gone = None
            since = at if since is None else since
            fires = fires or at - since >= hold_seconds
        elif since is not None:
            gone = at if gone is None else gone
            if not fires or at - gone >= keep_seconds:
                since, gone, fires = None, None, False
        firing[i] = fires
    return firing, State(since, gone, fires)
