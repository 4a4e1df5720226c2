"""Reads request logs in JSON lines: one request a line, its fields where a :class:`FieldMap` says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kvwatch.facts import RequestRecord
from kvwatch.parse.logs.decoder import PathDecoder, Value
from kvwatch.parse.logs.fields import QUANTITIES, FieldMap, Path, Paths
from kvwatch.parse.logs.heads import json_part
from kvwatch.parse.logs.moments import LATEST, LocalTime, moment
from kvwatch.parse.logs.results import (
    BAD_TIME,
    BAD_TOKENS,
    NO_TIME,
    NO_TOKENS,
    NOT_JSON,
    OTHER,
    REQUEST,
    TOO_LONG,
    WRONG_TYPE,
    Reading,
    Sample,
    field_names,
)
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES, Unwrapped
from kvwatch.parse.tenant import TenantName

SOURCE = "log"
MAX_TOKENS = 2**53
"""Beyond this a float no longer counts tokens one by one."""
_SUCCESS = frozenset({"success", "ok", "completed"})
_NAMES_A_TENANT = frozenset({str, int})
_MAX_KNOWN_TENANTS = 10_000
_MAX_LABEL_CHARACTERS = 256

_CLIENT_GONE = frozenset({"DC", "DR", "DownstreamConnectionTermination", "DownstreamRemoteReset"})
"""Envoy's response flags, short and long, where the client closed or reset its connection (envoyproxy.io, "Access
logging"): the status is then 0, 499, that of the answer that had begun, or none."""

Values = tuple[Value, Value, Value, Value, Value, Value, Value, Value, Value, Value, Value, Value, Value]
"""A value, or ``None``, for each of QUANTITIES in their order."""

_any_json = msgspec.json.Decoder().decode


class RecordMaker:
    """Makes a record of the quantities of one request, wherever they were found."""

    def __init__(self, tenant: TenantName, source: str = SOURCE) -> None:
        self._name = tenant
        self._source = source
        self._tenants: dict[Value, str | None] = {}

    def tenant(self, value: Value) -> str | None:
        """A tenant's name, ``None`` for what is neither text nor a number; hashing it once is enough while it lasts."""
        if type(value) not in _NAMES_A_TENANT:
            return None  # true is 1 to a dictionary, and a list cannot be in one
        try:
            return self._tenants[value]
        except KeyError:
            if len(self._tenants) >= _MAX_KNOWN_TENANTS:
                self._tenants.clear()
            name = self._tenants[value] = self._name(value)
            return name

    def record(self, values: Values, local: LocalTime, written: float | None) -> RequestRecord | str:
        """The request, or why there is none; ``written`` [unix s] is when the line was, where that is known."""
        finish, arrival, seconds, milliseconds, prompt, completion, cached, status, tenant, model, engine, *ends = (
            values
        )
        times = _times(finish, arrival, _duration(seconds, milliseconds), local, written)
        if isinstance(times, str):
            return times
        completed = (status == 200 or _completed(status)) and not _client_gone(*ends)
        if type(prompt) is not int or type(completion) is not int or cached is not None:
            prompt, completion, cached = _tokens(prompt), _tokens(completion), _tokens(cached)
        if prompt is None or completion is None:
            if completed:
                return NO_TOKENS
            prompt, completion = prompt or 0, completion or 0  # it failed, and its arrival counts all the same
        if not (0 <= prompt <= MAX_TOKENS and 0 <= completion <= MAX_TOKENS and 0 <= (cached or 0) <= prompt):
            return BAD_TOKENS
        return RequestRecord(
            times[0],
            times[1],
            prompt,
            completion,
            completed,
            cached or 0,
            self._source,
            None if tenant is None else self.tenant(tenant),
            None if model is None else str(model)[:_MAX_LABEL_CHARACTERS],
            None if engine is None else str(engine)[:_MAX_LABEL_CHARACTERS],
        )


def _duration(seconds: Value, milliseconds: Value) -> float | None:
    """A duration in seconds, written as a number or as text; gateways write "-" where there is none."""
    value, scale = (seconds, 1.0) if seconds is not None else (milliseconds, 1000.0)
    if value is None or value == "":
        return None
    try:
        number = float(value) / scale
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < LATEST else None


def _times(
    ended: Value, came: Value, seconds: float | None, local: LocalTime, written: float | None
) -> tuple[float, float] | str:
    """When the request came and ended, from two of arrival, end and duration, or from the end alone."""
    finish = moment(ended, local) if ended is not None else None
    arrival = moment(came, local) if came is not None else None
    if (ended is not None and finish is None) or (came is not None and arrival is None):
        return BAD_TIME
    if finish is None:
        finish = arrival + seconds if arrival is not None and seconds is not None else written
        if finish is None:
            return NO_TIME
    if arrival is None:
        arrival = finish - (seconds or 0.0)
    return (arrival, finish) if 0 <= arrival <= finish < LATEST else BAD_TIME


def _tokens(value: Value) -> int | None:
    """A number of tokens, −1 for one that is none; ``None`` for nothing, which is also written "" or "-"."""
    if isinstance(value, str):
        if value in ("", "-"):
            return None
        try:
            value = int(value) if len(value) <= 20 else -1
        except ValueError:
            return -1
    if isinstance(value, float):
        value = int(value) if value.is_integer() else -1
    return value if value is None or 0 <= value <= MAX_TOKENS else -1


def _completed(status: Value) -> bool:
    if isinstance(status, str):
        if status.lower() in _SUCCESS or not status:
            return True
        return len(status) == 3 and status[0] == "2" and status.isdigit()
    return status is None or 200 <= status < 300


def _client_gone(flags: Value, completion: Value) -> bool:
    """Whether a gateway says that the client left before the answer had ended."""
    if completion == "":
        return True
    return isinstance(flags, str) and not _CLIENT_GONE.isdisjoint(flag.strip() for flag in flags.split(","))


class RequestLines:
    """Reads chunks of JSON lines."""

    def __init__(self, fields: FieldMap, maker: RecordMaker) -> None:
        self._paths: list[Paths] = [fields.paths.get(name, ()) for name in QUANTITIES]
        self._only = dict(fields.only)
        self._maker = maker
        every = [path for paths in self._paths for path in paths]
        others = {path for name in QUANTITIES if name != "tenant" for path in fields.paths.get(name, ())}
        whom = frozenset(fields.paths.get("tenant", ())) - others - set(self._only)
        self._decoder = PathDecoder(tuple(dict.fromkeys([*every, *self._only])), any_kind=whom)
        self._several = [index for index, paths in enumerate(self._paths) if len(paths) > 1]
        self._is_plain = not self._several and not self._only
        self._choose([paths[0] if paths else None for paths in self._paths])

    def _choose(self, places: list[Path | None]) -> None:
        """Look for each quantity in one place; where several may hold it, in the one that had it last."""
        self._chosen = places
        self._get = self._decoder.getter(tuple(places))

    def read(self, chunk: bytes, local: LocalTime, reading: Reading) -> None:
        """Read the lines of a chunk of a file into a reading that is empty."""
        try:
            rows = self._decoder.decode_lines(chunk)
        except (msgspec.DecodeError, ValueError, RecursionError):
            rows = None
        lines = chunk.split(b"\n") if rows is None else None
        if rows is not None:
            refused = self._plain_rows(rows, local, reading) if self._is_plain else self._rows(rows, local, reading)
            if not refused:
                return
            lines = [line for line in chunk.split(b"\n") if line and not line.isspace()]
            if len(lines) == len(rows):
                for index, reason in refused:
                    reading.reject(reason, _sample(index, lines[index], known=reason in reading.samples))
                return
            reading.facts.clear()  # an object goes over lines, or two share one
            reading.results.clear()
        self._one_by_one(((line, None) for line in lines or ()), local, reading)

    def read_unwrapped(self, lines: Sequence[Unwrapped], local: LocalTime, reading: Reading) -> None:
        """Read lines that a container runtime had wrapped."""
        self._one_by_one(((line.text, line.at) for line in lines if line.text is not None), local, reading)

    def _plain_rows(self, rows: list[Any], local: LocalTime, reading: Reading) -> list[tuple[int, str]]:
        """Read rows of which most have plain numbers: the usual case, and made fast. Gives back what is refused."""
        get, append, tenant_of = self._get, reading.facts.append, self._maker.tenant
        refused = []
        done = 0
        for index, row in enumerate(rows):
            try:
                finish, arrival, _, _, prompt, completion, cached, status, tenant, model, engine, flags, sent = get(row)
                # a comparison with what is no number raises TypeError, one with NaN fails
                plain = (
                    0 <= arrival <= finish < LATEST
                    and 0 <= prompt <= MAX_TOKENS
                    and 0 <= completion <= MAX_TOKENS
                    and type(prompt) is type(completion) is int
                    and cached is model is engine is flags is sent is None
                )
            except (AttributeError, TypeError):
                plain = False
            if plain:
                done += 1
                completed = status == 200 or _completed(status)
                name = None if tenant is None else tenant_of(tenant)
                append(RequestRecord(arrival, finish, prompt, completion, completed, 0, SOURCE, name))
            elif (reason := self._row(row, local, None, reading)) is not None:
                refused.append((index, reason))
        if done:
            reading.count(REQUEST, done)
        return refused

    def _rows(self, rows: list[Any], local: LocalTime, reading: Reading) -> list[tuple[int, str]]:
        reasons = [self._row(row, local, None, reading) for row in rows]
        return [(index, reason) for index, reason in enumerate(reasons) if reason is not None]

    def _one_by_one(self, lines: Iterable[tuple[bytes, float | None]], local: LocalTime, reading: Reading) -> None:
        for index, (line, written) in enumerate(lines):
            if not line or line.isspace():
                continue
            reason: str | None
            if len(line) > MAX_LINE_BYTES:
                reason = TOO_LONG
            else:
                try:
                    if line[:1] != b"{" and (part := json_part(line)) is not None:
                        line, written = part[0], part[1] if written is None else written  # noqa: PLW2901
                    row = self._decoder.decode(line)
                except msgspec.ValidationError:
                    reason = WRONG_TYPE if is_json(line) else NOT_JSON
                except (msgspec.DecodeError, ValueError, RecursionError):
                    reason = NOT_JSON
                else:
                    reason = self._row(row, local, written, reading)
            if reason is not None:
                reading.reject(reason, _sample(index, line, known=reason in reading.samples))

    def _row(self, row: Any, local: LocalTime, written: float | None, reading: Reading) -> str | None:  # noqa: ANN401
        """Read one row whichever way its values are written; the reason where it is refused."""
        for path, allowed in self._only.items():
            value, _ = self._decoder.first(row, (path,))
            if value is None or str(value) not in allowed:
                reading.count(OTHER)
                return None
        try:
            values = self._get(row)
        except AttributeError:
            values = self._search(row)
        else:
            for index in self._several:
                if values[index] is None:
                    values = self._search(row)
                    break
        found = self._maker.record(values, local, written)
        if isinstance(found, str):
            return found
        reading.facts.append(found)
        reading.count(REQUEST)
        return None

    def _search(self, row: object) -> Values:
        """Each quantity from the first of its places that the row has."""
        found = [self._decoder.first(row, paths) for paths in self._paths]
        places = [place or before for (_, place), before in zip(found, self._chosen, strict=True)]
        if places != self._chosen:
            self._choose(places)
        return tuple(value for value, _ in found)  # type: ignore[return-value]


def is_json(line: bytes) -> bool:
    """Whether a line is JSON throughout; a decoder that wants an object stops at the number that a text begins with."""
    try:
        _any_json(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _sample(index: int, line: bytes, *, known: bool) -> Sample:
    """The line without what it says; the names in it only where there is no sample of its kind yet."""
    if known or len(line) > MAX_LINE_BYTES:
        return Sample(index, len(line))
    try:
        return Sample(index, len(line), field_names(_any_json(line)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Sample(index, len(line))
