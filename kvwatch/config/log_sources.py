"""Readers and checks for a target's ``logs``: which files to follow, and where in their lines what is."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from kvwatch.config.model import LogSourceConfig
from kvwatch.config.reader import Fault, Faults, show, suggest, text
from kvwatch.parse.logs import PRESETS, QUANTITIES

Paths = dict[str, tuple[str, ...]]

_NEEDED = ("prompt_tokens", "completion_tokens")
_MAX_PATHS = 10


def fields(value: object, path: str, faults: Faults) -> Paths | None:
    """Paths by quantity, from a mapping of each to a path or a list of paths."""
    return _mapping(value, path, faults, known=tuple(QUANTITIES))


def only(value: object, path: str, faults: Faults) -> Paths | None:
    """Values by path, from a mapping of each to a value or a list of values."""
    return _mapping(value, path, faults, known=())


def time_zone(value: object, path: str, faults: Faults) -> str | None:
    """The name of a time zone."""
    name = text(value, path, faults)
    if name is None or name == "UTC":
        return name
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        faults.append(Fault(path, f'{show(name)} is no time zone; give a name such as "UTC" or "Europe/Berlin"'))
        return None
    return name


def _mapping(value: object, path: str, faults: Faults, known: tuple[str, ...]) -> Paths | None:
    if not isinstance(value, dict):
        faults.append(Fault(path, f"expected keys and values, got {show(value)}"))
        return None
    before = len(faults)
    found: Paths = {}
    for key, given in value.items():
        place = f"{path}.{key}"
        if known and key not in known:
            faults.append(Fault(place, f"unknown key; {suggest(str(key), known)}"))
            continue
        texts = [_path(item, place, faults) for item in (given if isinstance(given, list) else [given])]
        if _path(key, place, faults) is None or not 1 <= len(texts) <= _MAX_PATHS:
            faults.append(Fault(place, f"expected text, or a list of up to {_MAX_PATHS}, got {show(given)}"))
        found[str(key)] = tuple(item for item in texts if item is not None)
    return found if len(faults) == before else None


def _path(value: object, path: str, faults: Faults) -> str | None:
    """Text that can be a key of JSON as it is written."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = text(value, path, faults)
    if found is not None and set(found) & set('"\\'):
        faults.append(Fault(path, f"{show(found)} has a quote or a backslash; such keys cannot be named"))
        return None
    return found


def log_source(values: dict[str, Any] | None, path: str, faults: Faults) -> LogSourceConfig | None:
    """One source, once what belongs together has been compared."""
    if values is None:
        return None
    before = len(faults)
    given: Paths = dict(values.get("fields", {}))
    tenant = values.pop("tenant_field", None)
    if tenant is not None:
        if "tenant" in given:
            faults.append(Fault(f"{path}.tenant_field", "fields.tenant is given as well; keep one of them"))
        given["tenant"] = (tenant,)
    name = values["format"]
    if name == "vllm":
        for key in ("fields", "only", "tenant_field", "tenant_hash", "tenant_key_file"):
            if key in values or (key == "tenant_field" and tenant is not None):
                faults.append(Fault(f"{path}.{key}", "vLLM's own log has no such fields; remove it"))
    else:
        missing = [quantity for quantity in _NEEDED if quantity not in {*given, *PRESETS[name].paths}]
        if missing:
            faults.append(Fault(f"{path}.fields", f"format json needs {' and '.join(missing)}; give the path of each"))
        if values.get("tenant_hash") and "tenant" not in {*given, *PRESETS[name].paths}:
            faults.append(Fault(f"{path}.tenant_hash", "is of no use without tenant_field; name the field"))
    if "tenant_key_file" in values and not values.get("tenant_hash"):
        faults.append(Fault(f"{path}.tenant_key_file", "is of no use without tenant_hash: true"))
    if len(faults) > before:
        return None
    return LogSourceConfig(**{**values, "fields": given})


def log_sources(found: list[tuple[str, dict[str, Any] | None]], faults: Faults) -> tuple[LogSourceConfig, ...]:
    """A target's sources; a file that is given twice would be counted twice."""
    sources: list[LogSourceConfig] = []
    for path, values in found:
        source = log_source(values, path, faults)
        if source is None:
            continue
        if any((source.path, source.format) == (other.path, other.format) for other in sources):
            faults.append(Fault(f"{path}.path", f"{show(source.path)} is given twice; keep one of them"))
        sources.append(source)
    return tuple(sources)
