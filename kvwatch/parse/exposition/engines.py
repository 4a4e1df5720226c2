"""Puts the samples of one exposition together into one :class:`EngineSample` for each engine.

A :class:`Plan` is worked out once for a set of series and then only moves numbers. It depends on labels alone,
so the order of lines does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvwatch.facts import CacheConfig, EngineKey, EngineSample
from kvwatch.parse.exposition import refusals
from kvwatch.parse.exposition.beside import SETTINGS, Shown, settings_of
from kvwatch.parse.exposition.cache_config import cache_config, cache_of_gauges
from kvwatch.parse.exposition.cache_owners import cache_of
from kvwatch.parse.exposition.identity import Member, named_by, spelled, tell_apart
from kvwatch.parse.exposition.names import PROCESS_START, Name, owned
from kvwatch.parse.exposition.numbers import HIGHEST, LOWEST, Buckets, Number, Slots, added
from kvwatch.parse.exposition.places import Place, buckets, matching, number
from kvwatch.parse.exposition.samples import Series
from kvwatch.parse.exposition.tables import Table

NamedBy = Mapping[tuple[Table, str], tuple[str, ...]]
"""By model the labels that its engines on one kind of server are named by."""


@dataclass(frozen=True, slots=True)
class _EnginePlan:
    key: EngineKey
    server: str
    plain: tuple[tuple[str, int, float], ...]
    """Fields with one name of one series: the field, its slot, the lowest sensible value."""
    numbers: tuple[Number, ...]
    histograms: tuple[Buckets, ...]
    awake: Slots
    created: Slots
    cache: CacheConfig
    cache_numbers: tuple[Number, ...]

    def read(self, values: Sequence[float]) -> EngineSample:
        fields: dict[str, Any] = {}
        for field, slot, lowest in self.plain:
            value = values[slot]
            if lowest <= value <= HIGHEST:
                fields[field] = value
        idle = fields.get("running") == 0 and fields.get("waiting") == 0
        for one in self.numbers:
            fields[one.row.field] = one.read(values, idle)
        for histogram in self.histograms:
            fields[histogram.field] = histogram.read(values)
        awake = added(values, self.awake)
        created = [values[slot] for slot in self.created if 0 < values[slot] <= HIGHEST]
        cache = self.cache
        if self.cache_numbers:
            cache = cache_of_gauges({one.row.field: one.read(values) for one in self.cache_numbers})
        return EngineSample(
            self.key,
            self.server,
            asleep=None if awake is None else awake == 0,
            cache=cache,
            created_at=min(created, default=None),
            **fields,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """An engine before its plan is made; ``beside`` counts the engines of its model on its server."""

    table: Table
    key: EngineKey
    members: Sequence[Member]
    cache_labels: Mapping[str, str]
    beside: int


class Plan:
    """What to read from which slot, for one set of series.

    ``before`` are the labels by which the engines of each model were named in the plan before. ``refusal`` says in a
    sentence what is shown of a server and makes no engine; it is empty where there is nothing of the kind.
    """

    def __init__(self, series: Sequence[Series], max_engines: int, before: NamedBy | None = None) -> None:
        self._start: Slots = ()
        self.created = False
        self.passed_on = False
        """Whether somebody else than the server has spelled a name."""
        self._beside: list[Shown] = []
        self.refusal = ""
        self.named_by: dict[tuple[Table, str], tuple[str, ...]] = {}
        self.dropped_engines = 0
        self._shown_again: list[_Found] = []
        found = self._find(series, before or {})
        found.sort(key=lambda one: _order(one.key))
        self.dropped_engines = max(0, len(found) - max_engines)
        self._engines = tuple(_plan_engine(one, self._beside) for one in found[:max_engines])
        self._again = tuple(
            _plan_engine(one, self._beside) for one in self._shown_again[: max(max_engines - len(found), 0)]
        )

    def _find(self, series: Sequence[Series], before: NamedBy) -> list[_Found]:
        groups: dict[tuple[Table, str], dict[str, list[Member]]] = {}
        caches: dict[tuple[Table, str], list[Mapping[str, str]]] = defaultdict(list)
        nameless = refusals.Nameless()
        for slot, one in enumerate(series):
            if one.name == PROCESS_START:
                self._start = (*self._start, slot)
                continue
            if one.name in SETTINGS:
                self._beside.append((one.name, slot, one.labels))
                continue
            name = owned(one.name)
            if name is None:
                continue
            self._note(name)
            model = next((one.labels[label] for label in name.table.model_labels if one.labels.get(label)), "")
            if name.bare == name.table.cache_config:
                caches[name.table, name.prefix].append(one.labels)
            elif model:
                models = groups.setdefault((name.table, name.prefix), defaultdict(list))
                models[model].append(Member(slot, name.bare, one.labels))
            else:
                nameless.add(name, one.labels)
        engines = self._engines_of(groups, caches, before)
        if not engines and not self.refusal:
            self.refusal = nameless.sentence()
        return engines

    def _note(self, name: Name) -> None:
        self.created = self.created or name.bare in name.table.created
        self.passed_on = self.passed_on or not name.is_unchanged

    def _engines_of(
        self,
        groups: Mapping[tuple[Table, str], Mapping[str, list[Member]]],
        caches: Mapping[tuple[Table, str], Sequence[Mapping[str, str]]],
        before: NamedBy,
    ) -> list[_Found]:
        """All engines. Under a second prefix a model may be shown again, by whoever passes metrics on."""
        found: list[_Found] = []
        shown: set[tuple[Table, str]] = set()
        keys: set[EngineKey] = set()
        for (table, prefix), models in sorted(groups.items(), key=lambda item: (len(item[0][1]), item[0][1])):
            for model, members in models.items():
                again = (table, model) in shown
                shown.add((table, model))
                engines = tell_apart(members, table, before.get((table, model), ()))
                if again and engines.refused:
                    continue
                if engines.refused:
                    self.refusal = refusals.untellable(model, engines.refused, engines.without, prefix)
                    continue
                alive = {
                    identity: own
                    for identity, own in engines.members.items()
                    if any(member.name in table.gauges for member in own)
                }
                if not alive and not again:
                    self.refusal = self.refusal or refusals.without_gauges(model, table, prefix)
                named = named_by(alive, engines.labels, before.get((table, model), ()))
                if named and not again:
                    self.named_by[table, model] = named
                for identity, own in alive.items():
                    name = spelled(identity, engines.labels, named)
                    key = EngineKey(model, name)
                    if again or key in keys:  # of another kind of server
                        key = EngineKey(
                            model, f"{name}{',' if '@' in name else '@'}{prefix if again else table.server}"
                        )
                    keys.add(key)
                    (self._shown_again if again else found).append(
                        _Found(
                            table,
                            key,
                            own,
                            cache_of(identity, model, caches[table, prefix], engines.labels, table),
                            sum(values == identity[1] for _, values in alive),
                        )
                    )
        return found

    def engines(self, values: Sequence[float]) -> tuple[EngineSample, ...]:
        """All engines, in order of model, then of what tells them apart, then of their number."""
        return tuple(engine.read(values) for engine in self._engines)

    def shown_again(self, values: Sequence[float]) -> tuple[EngineSample, ...]:
        """What is shown of their models under another prefix: copies of them, or other engines."""
        return tuple(engine.read(values) for engine in self._again)

    @property
    def has_process_start(self) -> bool:
        """Whether any process says when it began."""
        return bool(self._start)

    def process_start(self, values: Sequence[float]) -> float | None:
        """When the server's process began, unix seconds; None where several are shown."""
        starts = [values[slot] for slot in self._start if 0 < values[slot] <= HIGHEST]
        return starts[0] if len(starts) == 1 else None


def _order(key: EngineKey) -> tuple[str, str, int, str]:
    number, _, rest = key.engine.partition("@")
    return key.model_name, rest, len(number), number


def _plan_engine(found: _Found, beside: Sequence[Shown]) -> _EnginePlan:
    table = found.table
    by_name: dict[str, list[Place]] = defaultdict(list)
    for member in found.members:
        by_name[member.name].append((member.slot, member.labels))
    numbers = [one for row in table.rows if (one := number(row, by_name, table)) is not None]
    plain = [one for one in numbers if len(one.names) == 1 and len(one.names[0]) == 1]
    return _EnginePlan(
        key=found.key,
        server=table.server,
        plain=(
            *((n.row.field, n.names[0][0], LOWEST if n.row.may_be_negative else 0.0) for n in plain),
            *settings_of(found.key.model_name, beside),
        ),
        numbers=tuple(one for one in numbers if one not in plain),
        histograms=tuple(
            buckets(field, base, by_name) for field, base in table.histograms.items() if base + "_bucket" in by_name
        ),
        awake=matching(table.awake, by_name) if table.awake is not None else (),
        created=tuple(slot for name in table.created for slot, _ in by_name.get(name, ())),
        cache=cache_config(found.cache_labels, found.beside),
        cache_numbers=tuple(one for row in table.cache_rows if (one := number(row, by_name, table)) is not None),
    )
