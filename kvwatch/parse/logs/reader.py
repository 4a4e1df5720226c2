"""One file's log, chunk by chunk: what wraps the lines comes off, and the format's reader makes facts of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kvwatch.parse.logs.fields import PRESETS, FieldMap
from kvwatch.parse.logs.moments import LocalTime
from kvwatch.parse.logs.otel import OtelLines
from kvwatch.parse.logs.requests import RecordMaker, RequestLines
from kvwatch.parse.logs.results import BAD_WRAPPER, EVENT, OTHER, REJECTIONS, REQUEST, TOO_LONG, Reading, Sample
from kvwatch.parse.logs.vllm import VllmLines
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES, Unwrapped, Unwrapper, begins_wrapped, may_be_wrapped
from kvwatch.parse.tenant import TenantName, plain_tenant

FORMATS = ("vllm", *PRESETS)
"""What can be read."""


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How the lines of a log are read; ``fields`` win over those of the format's preset."""

    name: str
    fields: FieldMap = field(default_factory=lambda: FieldMap({}))
    tenant: TenantName = plain_tenant


class LogReader:
    """Reads one file from its beginning or from anywhere; keeps only what joins one chunk to the next."""

    def __init__(self, log_format: LogFormat) -> None:
        self._unwrapper = Unwrapper()
        self._vllm = VllmLines() if log_format.name == "vllm" else None
        if self._vllm is None:
            fields = log_format.fields.over(PRESETS[log_format.name])
            kind = OtelLines if log_format.name == "otel" else RequestLines
            self._requests = kind(fields, RecordMaker(log_format.tenant))

    def read(self, chunk: bytes, local: LocalTime) -> Reading:
        """What a chunk of whole lines comes to. Never raises for what the lines hold."""
        wrapped = self._unwrapper.unfinished_bytes > 0 or begins_wrapped(chunk)
        reading = Reading()
        if self._vllm is not None:
            lines = self._unwrapper.lines(chunk) if wrapped or may_be_wrapped(chunk) else _plain(chunk)
            self._read_vllm(self._vllm, lines, local, reading)
        elif wrapped:
            self._read_unwrapped(chunk, local, reading)
        else:
            self._requests.read(chunk, local, reading)
            if set(reading.results) - {REQUEST} and may_be_wrapped(chunk):
                # looked for only now, because to look costs more than to decode
                reading = Reading()
                self._read_unwrapped(chunk, local, reading)
        if self._vllm is None:
            reading.recognized = reading.results.get(REQUEST, 0)
        reading.unfinished_bytes = self._unwrapper.unfinished_bytes
        return reading

    def _read_unwrapped(self, chunk: bytes, local: LocalTime, reading: Reading) -> None:
        whole = []
        for index, line in enumerate(self._unwrapper.lines(chunk)):
            if line.text is None:
                reading.reject(BAD_WRAPPER, Sample(index, MAX_LINE_BYTES))
            else:
                whole.append(line)
        self._requests.read_unwrapped(whole, local, reading)

    def prime(self, chunk: bytes) -> None:
        """Take up the pieces of an unfinished line that ``chunk`` ends with; whatever else is in it has been read."""
        for _ in self._unwrapper.lines(chunk):
            pass

    def _read_vllm(self, vllm: VllmLines, lines: Iterable[Unwrapped], local: LocalTime, reading: Reading) -> None:
        events = others = 0
        before = vllm.recognized
        for index, line in enumerate(lines):
            if line.text is None:
                reading.reject(BAD_WRAPPER, Sample(index, MAX_LINE_BYTES))
                continue
            if len(line.text) > MAX_LINE_BYTES:
                reading.reject(TOO_LONG, Sample(index, len(line.text)))
                continue
            found = vllm.read(line.text, local, line.at)
            if isinstance(found, str):
                reading.reject(found, Sample(index, len(line.text)))
            elif found:
                reading.facts += found
                events += 1
            else:
                others += 1
        reading.recognized = vllm.recognized - before
        for result, number in ((EVENT, events), (OTHER, others)):
            if number:
                reading.count(result, number)


def _plain(chunk: bytes) -> Iterator[Unwrapped]:
    """Lines that nothing wraps."""
    return (Unwrapped(line, None) for line in chunk.split(b"\n") if line and not line.isspace())


__all__ = ["FORMATS", "REJECTIONS", "LogFormat", "LogReader"]
