"""What of an engine outlives a restart of kvwatch: what takes hours to learn, and what logs showed, which come once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Protocol

from kvwatch.constants import CLOCK_SKEW_SECONDS
from kvwatch.facts import EngineKey

_KEPT_SINCE = ("mix", "settings", "kv_capacity")
"""What older state files do not have, or may have left out."""

_MOST_NAME_CHARACTERS = 16_384
"""Longest name of a model or an engine in a state [characters]. Definition: that of a line of an exposition."""


class Kept(Protocol):
    """Something that is worth keeping over a restart of kvwatch."""

    def dump(self) -> dict[str, object] | None:
        """State as plain numbers, text, lists and objects; ``None`` where there is nothing to keep."""

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state; called within :func:`refusing`, for it raises whatever a damaged one leads to."""


class StateError(ValueError):
    """A state that cannot be one; the message names the part and what is wrong with it."""


_DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What code that takes a state for one of its own raises when it is none."""


@contextmanager
def refusing(part: str) -> Iterator[None]:
    """Within this, a state is read as if it were sound; what that raises becomes :class:`StateError`."""
    try:
        yield
    except KeyError as error:
        raise StateError(f"{part}: {error} is missing") from error
    except _DAMAGE as error:
        raise StateError(f"{part}: {error}") from error


def key_of(state: Mapping[str, object]) -> EngineKey:
    """Of which engine a state is; called within :func:`refusing`."""
    return EngineKey(_name(state["model_name"]), _name(state["engine"]))


def _name(found: object) -> str:
    if not isinstance(found, str) or len(found) > _MOST_NAME_CHARACTERS:
        raise StateError("model_name and engine must be text")
    return found


class KeptParts:
    """The parts of one engine that are worth keeping, those of its logs apart, by the names that state files have."""

    def __init__(self, parts: Mapping[str, Kept], of_logs: Mapping[str, Kept]) -> None:
        self._parts = dict(parts)
        self._of_logs = dict(of_logs)
        self._at = float("-inf")
        """When what was restored had been learnt [unix s]."""

    def dump(self, last_at: float) -> dict[str, object]:
        """Every part's state, and when the newest of it was learnt; the last sample was at ``last_at`` [unix s]."""
        at = max(last_at, self._at)
        logs = {name: part.dump() for name, part in self._of_logs.items()}
        parts = {name: part.dump() for name, part in self._parts.items()}
        return {"at": at if isfinite(at) else None} | parts | {"logs": logs}

    def restore(self, state: Mapping[str, object], now: float) -> None:
        """Take up a dumped state at ``now`` [unix s], one of an older version too.

        Raises StateError for one that cannot be, and for one of later than now: it was written under a clock that was
        ahead, and its windows would take for old what comes.
        """
        with refusing("at"):
            at = state.get("at")
            if at is not None:
                self._at = float(at)  # type: ignore[arg-type]
            if self._at > now + CLOCK_SKEW_SECONDS:
                raise StateError("a time that is yet to come: the clock was ahead")
        logs = state.get("logs")
        if logs is not None:
            with refusing("logs"):
                _restore(self._of_logs, logs)
        _restore(self._parts, dict.fromkeys(_KEPT_SINCE) | dict(state))


def _restore(parts: Mapping[str, Kept], states: object) -> None:
    """Give each part its state; one that is ``None`` was not worth keeping, or a version did not keep it yet."""
    if not isinstance(states, Mapping):
        raise StateError("not an object")
    for name, part in parts.items():
        with refusing(name):
            state = states[name]
            if state is None and name in _KEPT_SINCE:
                continue
            if not isinstance(state, dict):
                raise StateError("not an object")
            part.restore(state)
