"""JSON from outside: bounded, and nothing where it is none."""

from __future__ import annotations

import msgspec

_MAX_BODY_BYTES = 8 << 20
"""Longest body that is read [bytes]. Choice: a hundred times what any server answers."""

_decode = msgspec.json.Decoder().decode


def of_json(body: bytes) -> object:
    """What the body holds; ``None`` where it is no JSON, or too much of it."""
    if len(body) > _MAX_BODY_BYTES:
        return None
    try:
        return _decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def get(found: object, name: str) -> object:
    """The value of a key; ``None`` where there is no such object or key."""
    return found.get(name) if isinstance(found, dict) else None
