"""What the user's own alerts did: each expression asked of the Prometheus over the same time, with its ``for``."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from kvwatch.backtest.judge import Alerting
from kvwatch.backtest.spells import Spell, spells
from kvwatch.backtest.timeline import Model
from kvwatch.parse.exposition.samples import SampleReader
from kvwatch.promql.firing import Run, State, alert_state
from kvwatch.promql.labels import NAME, Array, Labels, Mask, labels_of, without
from kvwatch.promql.rules import Rule, RuleFile
from kvwatch.promql.selectors import names_in
from kvwatch.promql.series import Database, Stored
from kvwatch.shell.backtest.evaluate import FiringSpells
from kvwatch.shell.backtest.parts import write_json
from kvwatch.shell.prometheus.api import Api, PrometheusError, TooMuchError
from kvwatch.shell.recordings.replay import Recording

MOST_POINTS = 10_000
"""Evaluations that one range query asks for [1]. Data sheet: Prometheus refuses more than 11,000."""
_LEAST_POINTS = 10
"""Evaluations below which a question is not made smaller [1]. Choice: what is too much then is too much alone."""
_SCRAPE_SECONDS = 15.0
"""Time between the scrapes of a recording that rules see [s]. Choice: the shortest usual interval of a Prometheus; a
recording has one each second."""


@dataclass(frozen=True, slots=True)
class UserRules:
    """What the alerts of a file did, and which of them could not be evaluated, by name with the reason."""

    alerting: tuple[Alerting, ...]
    not_evaluated: tuple[tuple[str, str], ...]


async def ask_prometheus(api: Api, rules: RuleFile, span: Spell, known: Collection[Model], cache: Path) -> UserRules:
    """Evaluate the alerts of a file by range queries; answers are kept in a folder against a kill."""
    fired, failed = FiringSpells(0.0), []
    for number, rule in enumerate(rules.alerts):
        states: dict[Labels, State] = {}
        try:
            async for times, active in _answers(api, rule, span, cache / f"alert-{number:04d}"):
                _take(rule, times, active, states, fired)
            missing = await _missing(api, rule, span) if not states else []
        except PrometheusError as error:
            failed.append((rule.name, str(error)))
        else:
            if missing:
                failed.append((rule.name, f"nothing is kept of {' and '.join(missing)} in that time"))
    return UserRules(tuple(fired.alerting(known)), tuple(failed))


async def _missing(api: Api, rule: Rule, span: Spell) -> list[str]:
    """Names in an expression of which nothing is stored in that time: an alert over them says nothing."""
    asked = {"start": f"{span.start:.3f}", "end": f"{span.end:.3f}"}
    missing = []
    for name in sorted(names_in(rule.expression)):
        found = await api.ask("/api/v1/label/__name__/values", **{"match[]": f'{{__name__="{name}"}}', **asked})
        if not found:
            missing.append(name)
    return missing


def _take(
    rule: Rule, times: Array, active: dict[Labels, Mask], states: dict[Labels, State], fired: FiringSpells
) -> None:
    """Follow an alert's elements over one stretch of time."""
    nothing = np.zeros(len(times), dtype=bool)
    for labels in [*active, *(states.keys() - active.keys())]:
        firing, states[labels] = alert_state(
            active.get(labels, nothing), times, rule.hold_seconds, rule.keep_seconds, states.get(labels, State())
        )
        fired.add(rule, labels, spells(times, firing, rule.interval))


async def _answers(api: Api, rule: Rule, span: Spell, cache: Path) -> AsyncIterator[tuple[Array, dict[Labels, Mask]]]:
    """Times, and where an expression has a result at them, stretch after stretch."""
    step = rule.interval
    first = math.ceil(span.start / step) * step
    count = int((span.end - first) // step) + 1
    pending = [(low, min(low + MOST_POINTS, count)) for low in range(0, count, MOST_POINTS)][::-1]
    while pending:
        low, high = pending.pop()
        times: Array = first + step * np.arange(low, high, dtype=float)
        path = cache.with_name(f"{cache.name}-{low}-{high}.json")
        if path.is_file():
            result = orjson.loads(path.read_bytes())
        else:
            try:
                data = await api.ask(
                    "/api/v1/query_range", query=rule.expression, start=f"{times[0]:.3f}", end=f"{times[-1]:.3f}",
                    step=f"{step:g}",
                )  # fmt: skip
            except TooMuchError:
                if high - low <= _LEAST_POINTS:
                    raise
                middle = (low + high) // 2
                pending += [(middle, high), (low, middle)]
                continue
            result = [[one["metric"], [pair[0] for pair in one["values"]]] for one in data["result"]]
            write_json(path, result)
        active: dict[Labels, Mask] = {}
        for metric, at in result:
            labels = without(tuple(sorted(metric.items())), NAME)
            mask = active.setdefault(labels, np.zeros(len(times), dtype=bool))
            mask[np.rint((np.array(at, dtype=float) - times[0]) / step).astype(int)] = True
        yield times, active


def ask_recordings(
    recordings: Sequence[Recording], rules: RuleFile, span: Spell, known: Collection[Model]
) -> UserRules:
    """Evaluate a file over recordings, as a Prometheus that had scraped their servers would have."""
    usable: list[Rule] = []
    failed = []
    wanted = frozenset().union(*(names_in(rule.expression) for rule in rules.rules))
    database = Database({})
    for recording in recordings:
        database.append(_recorded(recording, wanted))
    step = rules.interval
    times = np.arange(math.ceil(span.start / step) * step, span.end + step, step)
    for rule in rules.rules:
        try:
            Run(RuleFile((*usable, rule)), Database({})).advance(times[:1])
        except ValueError as error:
            failed.append((rule.name, str(error)))
        else:
            usable.append(rule)
    fired = FiringSpells(step)
    for found in Run(RuleFile(tuple(usable)), database).advance(times):
        fired.add(found.alert, found.labels, spells(times, found.firing, step))
    return UserRules(tuple(fired.alerting(known)), tuple(failed))


def _recorded(recording: Recording, wanted: frozenset[str]) -> dict[Labels, Stored]:
    """The series of a recording with these names, with the labels that a Prometheus adds."""
    reader = SampleReader(frozenset(name.encode() for name in wanted).__contains__)
    given = {"job": "vllm", "instance": recording.name}
    at: list[float] = []
    rows: list[dict[Labels, float]] = []
    for when, text in recording.texts(wanted.__contains__):
        if at and when - at[-1] < _SCRAPE_SECONDS:
            continue
        reader.feed(text)
        samples = reader.finish()
        rows.append(
            {
                labels_of(one.name, **{**one.labels, **given}): value
                for one, value in zip(samples.series, samples.values, strict=True)
            }
        )
        at.append(when)
    times = np.array(at)
    names = dict.fromkeys(labels for row in rows for labels in row)
    return {labels: Stored(times, np.array([row.get(labels, np.nan) for row in rows])) for labels in names}
