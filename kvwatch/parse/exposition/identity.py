"""Which labels tell engines apart, beyond those that the server itself numbers its engines by.

A collector, a federation endpoint or a router shows the series of many servers at once, told apart by labels that it
has added: pod, instance, stage, whatever. Adding such series up makes an engine that does not exist, so a label whose
values differ makes engines of their own. Two cases remain. A label that only splits counters is a breakdown of one
engine's counts, and its parts add up. One that splits the gauges and is missing from other families leaves nobody
knowing whose those are: the model is refused, and the label is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kvwatch.parse.exposition.tables import Table

_EDGES = frozenset({"le", "quantile"})
_NAMES = (
    "ReplicaId",
    "pod",
    "exported_pod",
    "pod_name",
    "k8s_pod_name",
    "kubernetes_pod_name",
    "instance",
    "exported_instance",
    "service_instance_id",
    "WorkerId",
    "worker_id",
)
"""Labels whose value is a name by itself, those that people know best first. Others are spelled with their value."""

_REPLICAS = frozenset({"prometheus_replica", "receive_replica", "__replica__"})
"""Labels of who has watched. Two of them have watched the same engine."""
_JOBS = frozenset({"prometheus", "job", "exported_job", "endpoint", "service", "container", "scrape_job", "monitor"})
"""Labels of how an engine came to be watched. Where a name of it is the same besides, it is the same engine."""

Identity = tuple[str, tuple[str, ...]]
"""An engine of one model: its number, and its values of the labels that tell engines apart."""


@dataclass(frozen=True, slots=True)
class Member:
    """One series of a model: its slot, its name as the table has it, and its labels."""

    slot: int
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one model: ``labels`` tell them apart, ``refused`` names the one label that nobody can follow."""

    labels: tuple[str, ...]
    members: Mapping[Identity, Sequence[Member]]
    refused: str = ""
    without: tuple[str, ...] = ()
    """Families that lack the refused label."""


def foreign(labels: Mapping[str, str], table: Table) -> dict[str, str]:
    """The labels that the table does not know; an empty one is none."""
    known = table.part_labels | _EDGES
    return {
        name: value
        for name, value in labels.items()
        if value
        and name not in known
        and name not in table.model_labels
        and name not in table.engine_labels
        and name not in table.rank_labels
        and name not in table.total_labels
    }


def engine_number(labels: Mapping[str, str], table: Table) -> str:
    """What the server numbers the engine by; V0 of vLLM, which had one, had no number."""
    return next((labels[name] for name in table.engine_labels if labels.get(name)), "0")


def tell_apart(members: Sequence[Member], table: Table, before: Iterable[str] = ()) -> Engines:
    """The engines that the series of one model are of.

    ``before`` are labels that have told engines of this target apart: one that is left alone keeps its name.
    """
    families: dict[str, list[dict[str, str]]] = defaultdict(list)
    for member in members:
        families[member.name].append(foreign(member.labels, table))
    carried = {name: {label for labels in found for label in labels} for name, found in families.items()}
    anchors = [name for name in families if name in table.anchors]
    varying = _varying(members, table)
    telling = []
    for label in sorted({*varying, *before}):
        without = tuple(sorted(name for name in anchors if label not in carried[name]))
        if not without and anchors:
            telling.append(label)
        elif varying.get(label, set()) & table.gauges:
            return Engines((), {}, label, without)
    kept, members = _once(members, telling, table)
    telling = [label for label in telling if label in kept]
    engines: dict[Identity, list[Member]] = defaultdict(list)
    for member in members:
        values = tuple(member.labels.get(label, "") for label in telling)
        engines[engine_number(member.labels, table), values].append(member)
    return Engines(tuple(telling), engines)


def _once(members: Sequence[Member], telling: Sequence[str], table: Table) -> tuple[set[str], Sequence[Member]]:
    """The labels that tell engines apart, and the series without those that somebody else shows again.

    Two Prometheis in one federation, or two monitors of one pod, show the same engine: added up it would have twice its
    load.
    """
    watchers = [label for label in telling if label in _REPLICAS]
    if all(any(member.labels.get(name) for name in _NAMES) for member in members):
        watchers += [label for label in telling if label in _JOBS]
    shown: dict[object, set[tuple[str, ...]]] = defaultdict(set)
    places = []
    for member in members:
        rest = tuple(member.labels.get(label, "") for label in telling if label not in watchers)
        place = (engine_number(member.labels, table), rest, *(member.labels.get(name, "") for name in _NAMES))
        by = tuple(member.labels.get(label, "") for label in watchers)
        shown[place].add(by)
        places.append((place, by))
    if max(map(len, shown.values()), default=0) <= 1:
        return set(telling), members
    first = {place: min(found) for place, found in shown.items()}
    alone = [m for m, (place, by) in zip(members, places, strict=True) if by == first[place]]
    return set(telling) - set(watchers), alone


def _varying(members: Sequence[Member], table: Table) -> dict[str, set[str]]:
    """Labels that have several values in one family of one engine, and these families."""
    seen: dict[tuple[object, ...], list[dict[str, str]]] = defaultdict(list)
    for member in members:
        strange = foreign(member.labels, table)
        known = frozenset(item for item in member.labels.items() if item[0] not in strange and item[1])
        seen[member.name, known].append(strange)
    varying: dict[str, set[str]] = defaultdict(set)
    for (name, _), found in seen.items():
        if len(found) > 1:
            for label in {label for labels in found for label in labels}:
                if len({labels.get(label, "") for labels in found}) > 1:
                    varying[label].add(str(name))
    return varying


def spelled(identity: Identity, labels: Sequence[str], named_by: Sequence[str]) -> str:
    """The engine's name: its number, and where labels tell it apart its values of those it is named by."""
    number, values = identity
    if not named_by:
        return number
    have = dict(zip(labels, values, strict=True))
    if not any(have[name] for name in named_by):
        return number
    return number + "@" + ",".join(have[n] if n in _NAMES and have[n] else f"{n}={have[n]}" for n in named_by)


def named_by(identities: Iterable[Identity], labels: Sequence[str], before: Sequence[str]) -> tuple[str, ...]:
    """The labels that engines are named by: those of before, else the best one that suffices, else all."""
    every = set(identities)
    if not labels:
        return ()
    ranked = sorted(labels, key=lambda label: (_NAMES.index(label) if label in _NAMES else len(_NAMES), label))
    for chosen in (tuple(before), *((label,) for label in ranked)):
        places = [labels.index(label) for label in chosen if label in labels]
        if not places or len(places) < len(chosen):
            continue
        if len({(number, *(values[place] for place in places)) for number, values in every}) == len(every):
            return chosen
    return tuple(ranked)
