"""Whose KV cache it is that the labels of a cache config describe, where several engines are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvwatch.parse.exposition.identity import Identity, engine_number
from kvwatch.parse.exposition.tables import Table


def cache_of(
    identity: Identity, model: str, caches: Sequence[Mapping[str, str]], labels: Sequence[str], table: Table
) -> Mapping[str, str]:
    """The labels of an engine's own cache config, else of one that its server's engines share; the last one counts.

    ``labels`` tell engines apart. A config that lacks one of them is of one engine and nobody knows of which: it is
    nobody's.
    """
    number, values = identity
    shared: Mapping[str, str] = {}
    for found in reversed(caches):
        named = next((found[label] for label in table.model_labels if found.get(label)), model)
        if named != model or tuple(found.get(label, "") for label in labels) != values:
            continue
        if not any(found.get(label) for label in table.engine_labels):
            shared = shared or found
        elif engine_number(found, table) == number:
            return found
    return shared
