"""What an entry of the configuration file is: a key that is read in some way, or a mapping of such keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kvwatch.config import reader


@dataclass(frozen=True, slots=True)
class Option:
    """One key: how it is read, what holds when it is missing, and its meaning.

    ``field`` is the key's name in the dataclass that is built, where it differs. ``default`` is shown in the
    docs; the dataclass holds the one that applies.
    """

    key: str
    read: reader.Reader[object]
    kind: str
    help: str
    default: str = ""
    field: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of keys, nested in another one or in a list."""

    key: str
    help: str
    content: Mapping[str, Entry]
    is_list: bool = False


Entry: TypeAlias = Option | Section


def table(*entries: Entry) -> dict[str, Entry]:
    """Entries by their keys, in their order."""
    return {entry.key: entry for entry in entries}
