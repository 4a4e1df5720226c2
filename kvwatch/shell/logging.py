"""Logs on standard error: one event per change of state, as plain text or as JSON lines.

An event has a short fixed name and fields. Values that come from a target are escaped, so that a hostile one
cannot forge a line, and cut to :data:`MAX_VALUE_CHARACTERS`. Of what repeats, a few a minute are written.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from kvwatch.shell.repeats import RepeatFilter

MAX_VALUE_CHARACTERS = 500
LOGGER = logging.getLogger("kvwatch")


def event(level: int, name: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
    """Log one event with its fields; ``exc`` adds the traceback."""
    LOGGER.log(level, name, extra={"fields": fields}, exc_info=exc)


def setup(level: str = "info", style: str = "plain", stream: TextIO | None = None) -> None:
    """Send everything at ``level`` and above to ``stream`` (standard error by default)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelName(level.upper()), logging.INFO))  # a library's debugging may hold secrets
    LOGGER.setLevel(level.upper())
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its faults come out as our own events, with a reason


def _name(record: logging.LogRecord) -> str:
    """Our events by their name; what a library logs by the library's, so that its text cannot pass for one."""
    return record.getMessage() if record.name == LOGGER.name else record.name


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", {}) if record.name == LOGGER.name else {"message": record.getMessage()}
    fields = {**fields, "left_out": getattr(record, "left_out", None)}
    return {key: _short(value) for key, value in fields.items() if value is not None}


def _short(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class PlainFormatter(logging.Formatter):
    """``time level event key=value …``, values quoted where they are more than a word."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it where there is one."""
        parts = [_moment(record), record.levelname.lower(), _name(record)]
        for key, value in _fields(record).items():
            text = str(value)
            plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
            parts.append(f"{key}={text if plain else json.dumps(text, ensure_ascii=False)}")
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``event``, the fields, and ``traceback`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        document = {"time": _moment(record), "level": record.levelname.lower(), "event": _name(record)}
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document | _fields(record), ensure_ascii=False)
