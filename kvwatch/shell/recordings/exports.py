"""Files of other tools that are read as recordings: AIPerf's exports, OpenMetrics with times, dumps of a Prometheus."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kvwatch.parse.exports import Keep, Sample, aiperf_record, family_samples, page, server_of, stored_sample
from kvwatch.parse.exposition.names import is_read
from kvwatch.parse.history import NAME, UP, target_labels
from kvwatch.shell.recordings.lines import Report, read_lines

_PARQUET_MAGIC = b"PAR1"
_FIXED = ("endpoint_url", "metric_name", "timestamp_ns", "value", "sum", "count", "bucket_le", "bucket_count")
_IGNORED = ("metric_type", "unit", "description")
"""Columns of AIPerf's rows; all others are labels."""
_LEAST_SECONDS = 0.9
"""Least time between two pages that are taken [s]. Choice: kvwatch reads a server each second by itself, and AIPerf up
to ten times as often."""


class ExportError(Exception):
    """A file that cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of one server at one time [unix s]; ``body`` is ``None`` where it did not answer."""

    server: str
    at: float
    body: bytes | None


def read_name(name: str) -> bool:
    """Whether samples of a name tell the core anything."""
    return name == UP or is_read(name.encode())


def pages(path: Path, report: Report, keep: Keep = read_name) -> Iterator[Page]:
    """The pages of a file, those of each server in the order of time and at most one a second.

    Raises:
        ExportError: the file is none of the known ones, or needs a package that is missing.
        OSError: it cannot be read.
    """
    last: dict[str, float] = {}
    for found in _reader(path)(path, report, keep):
        if found.at - last.get(found.server, float("-inf")) >= _LEAST_SECONDS:
            last[found.server] = found.at
            yield found


def servers(path: Path, report: Report) -> list[str]:
    """The servers of a file by their names; raises as :func:`pages`."""
    return sorted({found.server for found in pages(path, report)})


def _reader(path: Path) -> Callable[[Path, Report, Keep], Iterator[Page]]:
    """Who reads a file, by its first bytes."""
    with path.open("rb") as file:
        if file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            return _parquet
    first = next(read_lines(path, lambda _: None), (0, b""))[1]
    if not isinstance(aiperf_record(first, read_name), str):
        return _aiperf
    lines = (line.decode("utf-8", "replace") for _, line in read_lines(path, lambda _: None))
    begun = next((line for line in lines if not line.startswith("#")), "")
    if stored_sample(begun) is not None:
        return _stored
    raise ExportError(
        f"{path} is no recording: known are folders of kvwatch record, AIPerf's server_metrics_export.jsonl and "
        ".parquet, OpenMetrics with a time for each sample, and what promtool tsdb dump prints"
    )


def _aiperf(path: Path, report: Report, keep: Keep) -> Iterator[Page]:
    for number, line in read_lines(path, report):
        record = aiperf_record(line, keep)
        if isinstance(record, str):
            report(f"{path.name}:{number}: {record}; skipped")
        else:
            yield Page(*record)


@dataclass(slots=True)
class _Series:
    """Samples of one series in the order of the file."""

    at: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, at: float, value: float) -> None:
        self.at.append(at)
        self.values.append(value)


_Server = dict[tuple[str, tuple[tuple[str, str], ...]], _Series]
"""Series of one server by name and labels."""


def _stored(path: Path, report: Report, keep: Keep) -> Iterator[Page]:
    """Samples in any order, as they lie in a Prometheus: series after series."""
    found: dict[tuple[str, ...], _Server] = {}
    for number, raw in read_lines(path, report):
        line = raw.decode("utf-8", "replace")
        sample = stored_sample(line)
        if sample is None:
            if not line.startswith("#"):
                report(f"{path.name}:{number}: no sample with a time; skipped")
            continue
        labels, value, at = sample
        if keep(labels[NAME]) or labels[NAME] == UP:
            own = tuple(sorted(labels.items()))
            key = tuple(target_labels(labels).values())
            found.setdefault(key, {}).setdefault((labels[NAME], own), _Series()).add(at, value)
    # of all else that a Prometheus scrapes only ``up`` is known
    ours = {key: series for key, series in found.items() if any(name != UP for name, _ in series)}
    yield from _rows({_named(key, ours): series for key, series in ours.items()}, keep)


def _named(key: tuple[str, ...], among: Mapping[tuple[str, ...], object]) -> str:
    """What a server is called: by its instance, and by all that tells it from others where that does not."""
    instance = next((value for name, value in zip(target_labels({}), key, strict=True) if name == "instance"), "")
    alone = sum(instance in other for other in among) == 1
    return instance if instance and alone else ",".join(filter(None, key)) or "server"


def _parquet(path: Path, report: Report, keep: Keep) -> Iterator[Page]:
    """AIPerf's rows: one for each sample, for a histogram one for each bucket. Counters begin at 0 in them."""
    del report
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ExportError(f"{path} needs the package `pyarrow`: pip install 'kvwatch[parquet]'") from None
    found: dict[str, _Server] = {}
    try:
        with parquet.ParquetFile(path) as file:
            missing = set(_FIXED) - set(file.schema_arrow.names)
            if missing:
                raise ExportError(f"{path} is no export of AIPerf's: it has no column {min(missing)}")
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    for name, labels, value in _of_row(row):
                        if keep(name):
                            own = tuple(sorted(labels.items()))
                            server = found.setdefault(server_of(row["endpoint_url"]), {})
                            at = row["timestamp_ns"] / 1e9
                            series = server.setdefault((name, own), _Series())
                            if not series.at or series.at[-1] != at:
                                series.add(at, value)
    except ArrowInvalid as error:
        raise ExportError(f"{path} is damaged: {error}") from None
    yield from _rows(found, keep)


def _of_row(row: Mapping[str, Any]) -> Iterator[Sample]:
    labels = {k: str(v) for k, v in row.items() if v is not None and k not in _FIXED and k not in _IGNORED}
    edge, reached = row["bucket_le"], row["bucket_count"]
    buckets = {edge: reached} if edge is not None and reached is not None else None
    return family_samples(row["metric_name"], labels, row["value"], buckets, row["sum"], row["count"])


def _rows(found: Mapping[str, _Server], keep: Keep) -> Iterator[Page]:
    """The pages that series were read from: what has one time stamp was one page."""
    for server, series in found.items():
        times = np.unique(np.concatenate([np.frombuffer(one.at) for one in series.values()]))
        places = [np.searchsorted(times, np.frombuffer(one.at)) for one in series.values()]
        values = np.full((len(series), len(times)), np.nan)
        for row, (place, one) in enumerate(zip(places, series.values(), strict=True)):
            values[row, place] = np.frombuffer(one.values)
        names = [(name, dict(own)) for name, own in series]
        ups = [row for row, (name, _) in enumerate(names) if name == UP]
        for column, at in enumerate(times.tolist()):
            if any(values[row, column] == 0 for row in ups):
                yield Page(server, at, None)
                continue
            there = np.flatnonzero(~np.isnan(values[:, column])).tolist()
            yield Page(server, at, page(((*names[row], float(values[row, column])) for row in there), keep))
