"""Published traces of requests: when each came and how long it was, from the columns of several kinds of files.

Known are the Azure LLM inference traces and BurstGPT (CSV), Mooncake's, and kvwatch's own request logs (JSON lines).
Exports of benchmarks, AIPerf's and inference-perf's, are known by the same columns in JSON lines.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvwatch.parse.logs.moments import LocalTime, from_text

MOST_REQUESTS = 200_000
"""Requests of a trace that are read [requests]. Choice: more than any plan's means hang on; the rest is left out."""
_AT = ("timestamp", "arrival", "arrived_at", "request_start_ns", "start_time", "time")
_PROMPT = (
    "contexttokens",
    "request tokens",
    "input_length",
    "prompt_tokens",
    "input_sequence_length",
    "input_tokens",
    "num_prefill_tokens",
)
_OUTPUT = (
    "generatedtokens",
    "response tokens",
    "output_length",
    "completion_tokens",
    "output_sequence_length",
    "output_tokens",
    "num_decode_tokens",
)
_SECONDS = {"request_start_ns": 1e-9}
_MOONCAKE = "hash_ids"


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request: when it came [s, from any epoch], and its lengths [tokens]."""

    at: float
    prompt_tokens: int
    output_tokens: int


class TraceError(Exception):
    """A file that is no trace; the message says where and what it lacks."""


def read_trace(lines: Iterable[str]) -> tuple[list[TracedRequest], int]:
    """The requests of a trace in the order in which they came, and how many lines are none.

    Raises:
        TraceError: the columns are not those of any known kind, or no line holds a request.
    """
    stream = iter(lines)
    first = next(stream, "")
    rows = _json(first, stream) if first.lstrip().startswith("{") else _csv(first, stream)
    found, bad = [], 0
    for row in rows:
        request = _request(row)
        if request is None:
            bad += 1
        else:
            found.append(request)
        if len(found) >= MOST_REQUESTS:
            break
    if not found:
        raise TraceError("no line holds a request with a time, a prompt's and an output's length above 0")
    return sorted(found, key=lambda request: request.at), bad


def _csv(head: str, lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    names = [name.strip().lower() for name in next(csv.reader([head]), [])]
    for wanted in (_AT, _PROMPT, _OUTPUT):
        if not set(wanted) & set(names):
            raise TraceError(f"line 1: no column {' or '.join(wanted)}, among {', '.join(names[:20]) or 'none'}")
    for cells in csv.reader(lines):
        yield dict(zip(names, cells, strict=False))


def _json(first: str, lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in (first, *lines) if isinstance(lines, tuple) else _chain(first, lines):
        try:
            row = json.loads(line)
        except ValueError:
            yield {}
            continue
        flat = row if isinstance(row, dict) else {}
        nested = [value for value in flat.values() if isinstance(value, dict)]
        together = {key.lower(): value for part in (*nested, flat) for key, value in part.items()}
        if _MOONCAKE in together and "timestamp" in together:
            together["timestamp"] = float(together["timestamp"]) / 1e3  # milliseconds
        yield together


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _request(row: Mapping[str, Any]) -> TracedRequest | None:
    at = next((_seconds(row[key], key) for key in _AT if row.get(key) not in (None, "")), None)
    prompt, output = (_tokens(row, keys) for keys in (_PROMPT, _OUTPUT))
    if at is None or prompt is None or output is None:
        return None
    return TracedRequest(at, prompt, output)


def _seconds(value: object, key: str) -> float | None:
    if isinstance(value, dict):
        value = value.get("value")
    try:
        seconds = float(value) * _SECONDS.get(key, 1.0)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = from_text(str(value), LocalTime())
        if found is None:
            return None
        seconds = found
    return seconds if math.isfinite(seconds) else None


def _tokens(row: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = row.get(key)
        if isinstance(value, dict):
            value = value.get("value")
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if math.isfinite(number) and number >= 1:
            return int(number)
    return None
