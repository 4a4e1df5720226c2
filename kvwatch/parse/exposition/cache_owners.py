"""Whose KV cache it is that the labels of a cache config describe, where several engines are shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kvwatch.parse.exposition.identity import Identity, engine_number
from kvwatch.parse.exposition.tables import Table


def caches_of(
    caches: Sequence[Mapping[str, str]],
    model: str,
    engines: Iterable[Identity],
    labels: Sequence[str],
    table: Table,
) -> dict[Identity, Mapping[str, str]]:
    """Each engine's own cache config, by its labels; none for an engine whose cache is not known.

    One that lacks what tells engines apart is of one of them and nobody knows of which: it is nobody's.
    """
    takers: dict[int, list[tuple[bool, Identity]]] = defaultdict(list)
    for identity in engines:
        fits = [(_fit(found, model, identity, labels, table), at) for at, found in enumerate(caches)]
        best, at = max(((fit, at) for fit, at in fits if fit is not None), default=(None, 0))
        if best is not None:
            takers[at].append((best[0] == len(labels), identity))
    chosen = {}
    for at, found in takers.items():
        own = [identity for exact, identity in found if exact] or [identity for _, identity in found]
        if len({values for _, values in own}) == 1:
            chosen.update(dict.fromkeys(own, caches[at]))
    return chosen


def _fit(
    found: Mapping[str, str], model: str, identity: Identity, labels: Sequence[str], table: Table
) -> tuple[int, bool] | None:
    """How many of the labels that tell engines apart agree, and whether the number does; None where one contradicts."""
    number, values = identity
    numbered = any(found.get(label) for label in table.engine_labels)
    named = next((found[label] for label in table.model_labels if found.get(label)), model)
    told = [found.get(label, "") for label in labels]
    if named != model or (numbered and engine_number(found, table) != number):
        return None
    if any(theirs not in ("", mine) for theirs, mine in zip(told, values, strict=True)):
        return None
    return sum(theirs == mine for theirs, mine in zip(told, values, strict=True)), numbered
