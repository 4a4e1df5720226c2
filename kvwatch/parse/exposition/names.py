"""Whose metric a sample's name is: which kind of server's, with what in front, and how its table calls it.

Whoever passes metrics on puts something in front of their names: Ray ``ray_``, KServe ``kserve_``, an OpenTelemetry
collector its namespace. So what a name ends with counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from kvwatch.parse.exposition.beside import SETTINGS
from kvwatch.parse.exposition.sglang import SGLANG
from kvwatch.parse.exposition.tables import Table
from kvwatch.parse.exposition.vllm import VLLM

TABLES: tuple[Table, ...] = (VLLM, SGLANG)
"""Servers whose metrics are read."""
PROCESS_START = "process_start_time_seconds"
"""Absent where several API servers share one exposition. No server's own, so nothing stands in front of it."""
MENTION = re.compile(
    rb"^([a-zA-Z_:][a-zA-Z0-9_:]*?(?:%s)[a-zA-Z0-9_:]+|(?:%s)[a-zA-Z0-9_:]+)[{ \t]"
    % ((b"|".join(stem.encode() for table in TABLES for stem in table.stems),) * 2),
    re.MULTILINE,
)
"""A line whose name a table may have."""
_ADDED = re.compile(r"(_total|_perc|_sum|_count|_bucket)(?:_total|_ratio)$|_seconds(?=_seconds_)")
"""What a collector appends for a counter, a unit or a ratio although the name has it already."""
_REMEMBERED = 8192
"""Names whose owner is remembered [names]. Choice: memory; a server of today has 250, and all of its kind the same."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart: ``prefix`` is all that stands before what the table calls it."""

    table: Table
    prefix: str
    bare: str

    @property
    def is_unchanged(self) -> bool:
        """Whether the name is as the server itself shows it."""
        return self.prefix == self.table.stems[0]


@lru_cache(maxsize=_REMEMBERED)
def owned(name: str) -> Name | None:
    """The name taken apart if a table may have it; ``bare`` need not be one that is read."""
    for table in TABLES:
        for stem in table.stems:
            at = name.rfind(stem)
            if at >= 0:
                end = at + len(stem)
                bare = name[end:]
                return Name(table, name[:end], bare if bare in table.names else _ADDED.sub(r"\1", bare))
    return None


def is_read(name: bytes) -> bool:
    """Whether samples of this name are read."""
    text = name.decode("ascii", "replace")
    found = owned(text)
    return text == PROCESS_START or text in SETTINGS or (found is not None and found.bare in found.table.names)
