"""Plain data → checked values, following a table of options."""

from __future__ import annotations

from typing import Any

from kvwatch.config.option import Section
from kvwatch.config.reader import Fault, Faults, show, suggest

MAX_TARGETS = 10_000
"""Longest list of a file. Choice: ten times as many targets as one process is for."""
SECRETS = {
    "bearer_token": "bearer_token_file",
    "token": "bearer_token_file",
    "authorization": "bearer_token_file",
    "password": "password_file",
}
"""Keys by which a secret could be given in the file itself, and the key to use instead."""

Values = dict[str, Any]
"""Checked values by field name; missing where the file leaves the default."""


def read_section(raw: object, section: Section, path: str, faults: Faults) -> Values:
    """Values of one mapping; faults, in the file's order, for what is wrong in it."""
    if raw is None:  # a section with its keys commented out
        raw = {}
    if not isinstance(raw, dict):
        faults.append(Fault(path, f"expected keys and values, got {show(raw)}"))
        return {}
    values: Values = {}
    for key, value in raw.items():
        place = f"{path}.{key}" if path else str(key)
        entry = section.content.get(key) if isinstance(key, str) else None
        if entry is None:
            faults.append(Fault(place, _unknown(str(key), section)))
        elif isinstance(entry, Section):
            values[entry.key] = (
                _read_list(value, entry, place, faults) if entry.is_list else read_section(value, entry, place, faults)
            )
        else:
            checked = entry.read(value, place, faults)
            if checked is not None:
                values[entry.field or entry.key] = checked
    for entry in section.content.values():
        if not isinstance(entry, Section) and entry.required and entry.key not in raw:
            faults.append(Fault(f"{path}.{entry.key}", f'is missing; add "{entry.key}: <{entry.kind}>"'))
    return values


def _read_list(raw: object, section: Section, path: str, faults: Faults) -> list[tuple[str, Values | None]]:
    """(path, values) of each item; None in place of one that has a fault."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        faults.append(Fault(path, f'expected a list, each item beginning with "- ", got {show(raw)}'))
        return []
    if len(raw) > MAX_TARGETS:
        faults.append(Fault(path, f"{len(raw)} items are more than {MAX_TARGETS}; split them over several processes"))
        return []
    items: list[tuple[str, Values | None]] = []
    for index, item in enumerate(raw):
        place = f"{path}[{index}]"
        before = len(faults)
        values = read_section(item, section, place, faults)
        items.append((place, values if len(faults) == before else None))
    return items


def _unknown(key: str, section: Section) -> str:
    instead = SECRETS.get(key.lower())
    if instead is not None and instead in section.content:
        return f"unknown key; secrets are read from files: use {instead}"
    return f"unknown key; {suggest(key, section.content)}"
