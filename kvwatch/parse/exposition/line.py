"""The parts of one line of the text format: a name, labels, a number, perhaps a timestamp and an exemplar."""

from __future__ import annotations

import re

BLANK = b" \t\r\n\v\f"
NAME = re.compile(rb"[ \t]*(([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(\{)?)")
_LABEL = re.compile(rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,[ \t]*|(?=\}))')
_ESCAPE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", '"': '"', "\\": "\\"}


def labels_of(line: bytes, position: int) -> tuple[dict[str, str] | None, int]:
    """Labels from after the opening brace, and where the closing one ends; None where they are malformed."""
    labels: dict[str, str] = {}
    while match := _LABEL.match(line, position):
        try:
            name, value = match[1].decode(), match[2].decode()
        except UnicodeDecodeError:
            return None, position
        if name in labels:
            return None, position
        labels[name] = _ESCAPE.sub(_unescape, value) if "\\" in value else value
        position = match.end()
    blank = len(line) - len(line[position:].lstrip(b" \t")) - position
    position += blank
    return (labels, position + 1) if line[position : position + 1] == b"}" else (None, position)


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[0])


def number_in(rest: bytes) -> float | None:
    """The value in what follows a series key: a number, then perhaps a timestamp, then perhaps an exemplar."""
    words = rest.partition(b"#")[0].split()
    if not 1 <= len(words) <= 2 or b"_" in rest.partition(b"#")[0]:
        return None
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers[0]
