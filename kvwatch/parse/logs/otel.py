"""Reads OpenTelemetry logs as OTLP writes them in JSON: one ``LogsData`` a line, a request in each log record.

Follows the OTLP JSON encoding (opentelemetry.io, "OTLP Specification", "OpenTelemetry Protocol File Exporter"):
64-bit integers are text, an attribute is ``{"key", "value": {"stringValue" | "intValue" | "doubleValue"}}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from kvwatch.parse.logs.decoder import Value
from kvwatch.parse.logs.fields import QUANTITIES, FieldMap
from kvwatch.parse.logs.moments import LocalTime
from kvwatch.parse.logs.requests import RecordMaker, is_json
from kvwatch.parse.logs.results import NOT_JSON, OTHER, REQUEST, TOO_LONG, WRONG_TYPE, Reading, Sample
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES, Unwrapped

_MAX_NAMES = 20
_MAX_NAME_CHARACTERS = 40


class _AnyValue(msgspec.Struct, gc=False, rename="camel"):
    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: _AnyValue | None = None


class _Record(msgspec.Struct, rename="camel"):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    attributes: list[_Attribute] | None = None


class _Scope(msgspec.Struct, rename="camel"):
    log_records: list[_Record] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Attribute] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_Scope] | None = None


class _LogsData(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs]


_decode = msgspec.json.Decoder(_LogsData).decode


class OtelLines:
    """Reads chunks of OTLP log lines. Paths are names of attributes, of the record or else of its resource."""

    def __init__(self, fields: FieldMap, maker: RecordMaker) -> None:
        self._keys = [tuple(".".join(path) for path in fields.paths.get(name, ())) for name in QUANTITIES]
        self._only = {".".join(path): allowed for path, allowed in fields.only.items()}
        self._tokens = {
            ".".join(path) for name in ("prompt_tokens", "completion_tokens") for path in fields.paths.get(name, ())
        }
        self._maker = maker

    def read(self, chunk: bytes, local: LocalTime, reading: Reading) -> None:
        """Read the lines of a chunk of a file."""
        self._lines(((line, None) for line in chunk.split(b"\n")), local, reading)

    def read_unwrapped(self, lines: Sequence[Unwrapped], local: LocalTime, reading: Reading) -> None:
        """Read lines that a container runtime had wrapped."""
        self._lines(((line.text, line.at) for line in lines if line.text is not None), local, reading)

    def _lines(self, lines: Iterable[tuple[bytes, float | None]], local: LocalTime, reading: Reading) -> None:
        for index, (line, written) in enumerate(lines):
            if not line or line.isspace():
                continue
            if len(line) > MAX_LINE_BYTES:
                reading.reject(TOO_LONG, Sample(index, len(line)))
                continue
            try:
                data = _decode(line)
            except msgspec.ValidationError:
                reading.reject(WRONG_TYPE if is_json(line) else NOT_JSON, Sample(index, len(line)))
                continue
            except (msgspec.DecodeError, ValueError, RecursionError):
                reading.reject(NOT_JSON, Sample(index, len(line)))
                continue
            self._data(data, local, written, reading, Sample(index, len(line)))

    def _data(self, data: _LogsData, local: LocalTime, written: float | None, reading: Reading, sample: Sample) -> None:
        for resource_logs in data.resource_logs:
            resource = resource_logs.resource
            around = _values((resource.attributes or ()) if resource else ())
            records = chain.from_iterable(scope.log_records or () for scope in resource_logs.scope_logs or ())
            for record in records:
                self._record(record, around, local, written, reading, sample)

    def _record(  # noqa: PLR0913, PLR0917 - a record, and what is known around it
        self,
        record: _Record,
        around: dict[str, Value],
        local: LocalTime,
        written: float | None,
        reading: Reading,
        sample: Sample,
    ) -> None:
        values = {**around, **_values(record.attributes or ())}
        values["timeUnixNano"] = _integer(record.time_unix_nano) or _integer(record.observed_time_unix_nano)
        if self._tokens.isdisjoint(values) or any(
            str(values.get(key)) not in allowed for key, allowed in self._only.items()
        ):
            reading.count(OTHER)
            return

        quantities = tuple(
            next((values[key] for key in keys if values.get(key) is not None), None) for keys in self._keys
        )
        found = self._maker.record(quantities, local, written)  # type: ignore[arg-type] # one for each of QUANTITIES
        if isinstance(found, str):
            names = tuple(name[:_MAX_NAME_CHARACTERS] for name in list(values)[:_MAX_NAMES])
            reading.reject(found, Sample(sample.line, sample.length_bytes, names))
        else:
            reading.facts.append(found)
            reading.count(REQUEST)


def _values(attributes: Iterable[_Attribute]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for attribute in attributes:
        value = attribute.value
        if value is not None:
            found: Value = value.string_value
            if found is None:
                found = _integer(value.int_value) if value.int_value is not None else value.double_value
            values[attribute.key] = found
    return values


def _integer(value: int | str | None) -> int | str | None:
    """A 64-bit integer, which the JSON encoding writes as text; 0 is how it writes that there is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    return value
