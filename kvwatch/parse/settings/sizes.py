"""What a setting can be at all, and how vLLM writes sizes."""

from __future__ import annotations

import re

_MAX_SETTING = 2**40
"""Largest size that is believed [1]. Choice: more than any server has of anything."""
_HUMAN = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([kmgtKMGT])", re.ASCII)
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Suffixes of vLLM's sizes: small letters are decimal, capital ones binary."""
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def size(value: object) -> int | None:
    """A positive whole number of sensible size; JSON's true is not 1."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SETTING else None


def size_in(value: object) -> int | None:
    """The same of a text or a number: ``256``, ``8k`` or ``32K``."""
    if not isinstance(value, str):
        return size(value)
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 13:
        return size(int(text))
    match = _HUMAN.fullmatch(text)
    if match is None:
        return None
    number = float(match[1]) * _UNITS[match[2]]
    return size(int(number)) if number == int(number) else None


def share_in(value: object) -> float | None:
    """A share from 0 to below 1."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        return None
    return number if 0 <= number < 1 else None


def truth_in(value: object) -> bool | None:
    """A yes or no."""
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    return True if text in _TRUE else False if text in _FALSE else None
