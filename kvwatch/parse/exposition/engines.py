"""Puts the samples of one exposition together into one :class:`EngineSample` for each engine.

A :class:`Plan` is worked out once for a set of series and then only moves numbers. It depends on labels alone,
so the order of lines does not matter.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvwatch.facts import CacheConfig, EngineKey, EngineSample
from kvwatch.parse.exposition import vllm
from kvwatch.parse.exposition.cache_config import cache_config
from kvwatch.parse.exposition.numbers import HIGHEST, LOWEST, Buckets, Number, Slots, added
from kvwatch.parse.exposition.samples import Series

_ByName = dict[str, list[tuple[int, dict[str, str]]]]


@dataclass(frozen=True, slots=True)
class _EnginePlan:
    key: EngineKey
    plain: tuple[tuple[str, int, float], ...]
    """Fields with one name of one series: the field, its slot, the lowest sensible value."""
    numbers: tuple[Number, ...]
    histograms: tuple[Buckets, ...]
    awake: Slots
    created: Slots
    cache: CacheConfig

    def read(self, values: Sequence[float]) -> EngineSample:
        fields: dict[str, Any] = {}
        for field, slot, lowest in self.plain:
            value = values[slot]
            if lowest <= value <= HIGHEST:
                fields[field] = value
        idle = fields.get("running") == 0 and fields.get("waiting") == 0
        for number in self.numbers:
            fields[number.row.field] = number.read(values, idle)
        for histogram in self.histograms:
            fields[histogram.field] = histogram.read(values)
        awake = added(values, self.awake)
        created = [values[slot] for slot in self.created if 0 < values[slot] <= HIGHEST]
        return EngineSample(
            self.key,
            asleep=None if awake is None else awake == 0,
            cache=self.cache,
            created_at=min(created, default=None),
            **fields,
        )


class Plan:
    """What to read from which slot, for one set of series."""

    def __init__(self, series: Sequence[Series], max_engines: int) -> None:
        engines: dict[tuple[str, str, str], _ByName] = defaultdict(lambda: defaultdict(list))
        caches: list[dict[str, str]] = []
        self._start: Slots = ()
        self.created = False
        self.ray = False
        for slot, one in enumerate(series):
            name = vllm.WANTED[one.name]
            self.created = self.created or name in vllm.CREATED
            self.ray = self.ray or one.name.startswith(vllm.RAY_PREFIXES)
            if name == vllm.PROCESS_START:
                self._start = (*self._start, slot)
            elif name == vllm.CACHE_CONFIG:
                caches.append(one.labels)
            elif vllm.MODEL_LABEL in one.labels:
                engines[_identity(one.labels)][name].append((slot, one.labels))
        self.dropped_engines = 0
        self._engines = self._plan_engines(engines, caches, max_engines)

    def _plan_engines(
        self, engines: dict[tuple[str, str, str], _ByName], caches: list[dict[str, str]], max_engines: int
    ) -> tuple[_EnginePlan, ...]:
        order = sorted(engines, key=lambda identity: (identity[0], identity[2], len(identity[1]), identity[1]))
        self.dropped_engines = max(0, len(order) - max_engines)
        order = order[:max_engines]
        replicas: dict[tuple[str, str], int] = defaultdict(int)
        beside: dict[tuple[str, str], int] = defaultdict(int)
        for model, engine, replica in order:
            replicas[model, engine] += 1
            beside[model, replica] += 1
        plans = []
        for model, engine, replica in order:
            by_name = engines[model, engine, replica]
            spelled = engine if replicas[model, engine] == 1 else f"{engine}@{replica}"
            cache = cache_config(_cache_labels(caches, engine, replica), beside[model, replica])
            plans.append(_plan_engine(EngineKey(model, spelled), by_name, cache))
        return tuple(plans)

    def engines(self, values: Sequence[float]) -> tuple[EngineSample, ...]:
        """All engines, in order of model, then replica, then engine number."""
        return tuple(engine.read(values) for engine in self._engines)

    def process_start(self, values: Sequence[float]) -> float | None:
        """When the server's process began, unix seconds."""
        starts = [values[slot] for slot in self._start if 0 < values[slot] <= HIGHEST]
        return starts[0] if starts else None


def _identity(labels: Mapping[str, str]) -> tuple[str, str, str]:
    replica = next((labels[name] for name in vllm.REPLICA_LABELS if labels.get(name)), "")
    return labels[vllm.MODEL_LABEL], labels.get(vllm.ENGINE_LABEL, vllm.DEFAULT_ENGINE), replica


def _cache_labels(caches: list[dict[str, str]], engine: str, replica: str) -> dict[str, str]:
    """The labels of the engine's own cache config, else of one that names no engine."""
    for labels in reversed(caches):
        named = {vllm.MODEL_LABEL: "", **labels}
        if labels.get(vllm.ENGINE_LABEL) == engine and _identity(named)[2] in ("", replica):
            return labels
    return next((labels for labels in reversed(caches) if vllm.ENGINE_LABEL not in labels), {})


def _plan_engine(key: EngineKey, by_name: _ByName, cache: CacheConfig) -> _EnginePlan:
    numbers = [number for row in vllm.ROWS if (number := _number(row, by_name)) is not None]
    plain = [number for number in numbers if len(number.names) == 1 and len(number.names[0]) == 1]
    return _EnginePlan(
        key=key,
        plain=tuple((n.row.field, n.names[0][0], LOWEST if n.row.may_be_negative else 0.0) for n in plain),
        numbers=tuple(number for number in numbers if number not in plain),
        histograms=tuple(
            _buckets(field, base, by_name) for field, base in vllm.HISTOGRAMS.items() if base + "_bucket" in by_name
        ),
        awake=_matching(vllm.AWAKE, by_name),
        created=tuple(slot for name in vllm.CREATED for slot, _ in by_name.get(name, ())),
        cache=cache,
    )


def _matching(sample: vllm.Sample, by_name: _ByName) -> Slots:
    return tuple(
        slot
        for slot, labels in by_name.get(sample.name, ())
        if not sample.label or labels.get(sample.label) == sample.value
    )


def _number(row: vllm.Row, by_name: _ByName) -> Number | None:
    names = tuple(slots for sample in row.samples if (slots := _matching(sample, by_name)))
    if not names:
        return None
    by_process = any(
        vllm.PROCESS_LABEL in labels for sample in row.samples for _, labels in by_name.get(sample.name, ())
    )
    return Number(row, names, by_process)


def _buckets(field: str, base: str, by_name: _ByName) -> Buckets:
    edges: dict[float, list[int]] = defaultdict(list)
    for slot, labels in by_name[base + "_bucket"]:
        try:
            edge = float(labels.get("le", ""))
        except ValueError:
            continue
        if not math.isnan(edge):
            edges[edge].append(slot)
    rising = sorted(edges)
    return Buckets(
        field,
        tuple(rising),
        tuple(tuple(edges[edge]) for edge in rising),
        _matching(vllm.Sample(base + "_sum"), by_name),
        _matching(vllm.Sample(base + "_count"), by_name),
    )
