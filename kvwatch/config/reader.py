"""Readers of single values: a plain YAML value in, a checked value out, or a fault with its path.

A reader appends to ``faults`` and returns ``None`` instead of raising, so that one pass finds every fault.
Messages say what is wrong and how to mend it, and never quote a value that may be a secret.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_LONGEST = 1000
"""A fault in words [characters]. Choice: some lines of a terminal; keys and values can be of any length."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake: where it is, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        words = f"{self.path}: {self.message}" if self.path else self.message
        words = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
        return words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."


class ConfigError(Exception):
    """A configuration that cannot be used; ``faults`` holds every mistake that was found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


Faults = list[Fault]
Reader = Callable[[object, str, Faults], T | None]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def show(value: object) -> str:
    """A value as a message quotes it: short, on one line, with its kind plain to see."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except TypeError:  # keys that are no text, such as dates
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that is nearest, or the list of all."""
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.7)
    return f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(choices)


def text(value: object, path: str, faults: Faults) -> str | None:
    """Text that is not empty and has no control characters."""
    if not isinstance(value, str):
        faults.append(Fault(path, f"expected text, got {show(value)}; put it in quotes"))
    elif not value.strip() or not value.isprintable():
        faults.append(Fault(path, f"expected text on one line, got {show(value)}"))
    else:
        return value
    return None


def texts(value: object, path: str, faults: Faults) -> tuple[str, ...] | None:
    """A list of texts, with at least one."""
    if not isinstance(value, list) or not value:
        faults.append(Fault(path, f"expected a list of texts, got {show(value)}"))
        return None
    found = [text(item, f"{path}[{index}]", faults) for index, item in enumerate(value)]
    return None if None in found else tuple(item for item in found if item is not None)


def file_path(value: object, path: str, faults: Faults) -> Path | None:
    """The path of a file; whether it can be read is found out when it is needed, so that it may rotate."""
    name = text(value, path, faults)
    return None if name is None else Path(name)


def boolean(value: object, path: str, faults: Faults) -> bool | None:
    """True or false."""
    if isinstance(value, bool):
        return value
    faults.append(Fault(path, f"expected true or false, got {show(value)}"))
    return None


def integer(low: int, high: int) -> Reader[int]:
    """A whole number from ``low`` to ``high``."""

    def read(value: object, path: str, faults: Faults) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            faults.append(Fault(path, f"expected a whole number, got {show(value)}"))
        elif not low <= value <= high:
            faults.append(Fault(path, f"{value} is out of range; give a number from {low} to {high}"))
        else:
            return value
        return None

    return read


def experts(value: object, path: str, faults: Faults) -> float | None:
    """k/E of ``[E, k]``, experts in all and those that a token uses; 0 for ``dense``."""
    if value == "dense":
        return 0.0
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(number) is int for number in value):
        total, used = value
        if 1 <= used <= total:
            return float(used / total)
    faults.append(Fault(path, f"expected dense, or two numbers of experts such as [128, 8], got {show(value)}"))
    return None


def number(low: float, high: float) -> Reader[float]:
    """A number from ``low`` to ``high``; NaN is none."""

    def read(value: object, path: str, faults: Faults) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            faults.append(Fault(path, f"expected a number, got {show(value)}"))
        elif not low <= value <= high:
            faults.append(Fault(path, f"{value} is out of range; give a number from {low:g} to {high:g}"))
        else:
            return float(value)
        return None

    return read


def choice(*choices: str | float) -> Reader[str | float]:
    """One of a few values."""

    def read(value: object, path: str, faults: Faults) -> str | float | None:
        if not isinstance(value, bool) and value in choices:
            return next(known for known in choices if known == value)
        listed = " or ".join(str(known) for known in choices)
        faults.append(Fault(path, f"{show(value)} is not a choice; give {listed}"))
        return None

    return read


def duration(low: float, high: float) -> Reader[float]:
    """A length of time in seconds, from a number of seconds or text such as "15s", "500ms", "5m", "1h"."""

    def read(value: object, path: str, faults: Faults) -> float | None:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match:
            seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value
        else:
            faults.append(Fault(path, f'expected a duration, got {show(value)}; write it as "15s", "5m" or seconds'))
            return None
        if not low <= seconds <= high:
            faults.append(Fault(path, f"{show(value)} is out of range; give {low:g}s to {high:g}s"))
            return None
        return float(seconds)

    return read


def windows(value: object, path: str, faults: Faults) -> dict[str, float] | None:
    """Label → seconds, from a list of durations written as text, shortest first."""
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        faults.append(Fault(path, f'expected a list of one to four durations such as ["1m", "5m"], got {show(value)}'))
        return None
    before = len(faults)
    read = duration(10.0, 3600.0)
    found: dict[str, float] = {}
    for index, item in enumerate(value):
        place = f"{path}[{index}]"
        if not isinstance(item, str):
            faults.append(Fault(place, f'expected a duration as text such as "1m", got {show(item)}'))
            continue
        seconds = read(item, place, faults)
        if seconds is not None and found and seconds <= max(found.values()):
            faults.append(
                Fault(place, f'"{item}" is not longer than the window before it; list each once, in rising order')
            )
        elif seconds is not None:
            found[item] = seconds
    return found if len(faults) == before else None
