"""What other tools write of a server's metrics → the pages that they were read from.

Three forms: the lines and the rows of AIPerf's ``server_metrics_export`` (Source: aiperf 0.13, server_metrics/), and
samples with their times as promtool reads and writes them: OpenMetrics, and what ``promtool tsdb dump`` prints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from kvwatch.constants import LATEST_DATE_SECONDS
from kvwatch.parse.history import NAME, TARGET_LABELS

Keep = Callable[[str], bool]
"""Whether samples of a name are wanted."""
Sample = tuple[str, Mapping[str, str], float]
"""Name, labels and value."""
_NANOSECONDS, _MILLISECONDS = 1e9, 1e3
_COUNTER = "_total"
"""What prometheus-client takes off the names of counters, and AIPerf writes without."""
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?\s*')
_LINE = re.compile(r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)?\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)\s+(?P<at>\S+)$")
_ESCAPED = {"n": "\n"}


class _Family(msgspec.Struct):
    labels: dict[str, str] | None = None
    value: float | None = None
    buckets: dict[str, float] | None = None
    histogram: dict[str, float] | None = None
    sum: float | None = None
    count: float | None = None


class _Record(msgspec.Struct):
    endpoint_url: str
    timestamp_ns: int
    metrics: dict[str, list[_Family]]


_decode = msgspec.json.Decoder(_Record).decode


def aiperf_record(line: bytes, keep: Keep) -> tuple[str, float, bytes] | str:
    """A line of ``server_metrics_export.jsonl``: server, time [unix s] and page; or in a word why it is none."""
    try:
        record = _decode(line)
    except msgspec.ValidationError:
        return "not_a_record"
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "not_json"
    at = record.timestamp_ns / _NANOSECONDS
    if not 0 <= at < LATEST_DATE_SECONDS:
        return "bad_time"
    samples = (
        sample
        for family, found in record.metrics.items()
        for one in found
        for sample in family_samples(
            family, one.labels or {}, one.value, one.buckets or one.histogram, one.sum, one.count
        )
    )
    return server_of(record.endpoint_url), at, page(samples, keep)


def family_samples(  # noqa: PLR0913, PLR0917 (what a sample of a family may have)
    family: str,
    labels: Mapping[str, str],
    value: float | None,
    buckets: Mapping[str, float] | None,
    total: float | None,
    count: float | None,
) -> Iterator[Sample]:
    """The samples of an exposition that one sample of AIPerf's stands for; a counter under both names it may have."""
    if value is not None:
        yield family, labels, value
        if not family.endswith(_COUNTER):
            yield family + _COUNTER, labels, value
    for edge, reached in (buckets or {}).items():
        yield f"{family}_bucket", {**labels, "le": edge}, reached
    if total is not None:
        yield f"{family}_sum", labels, total
    if count is not None:
        yield f"{family}_count", labels, count


def server_of(endpoint_url: str) -> str:
    """Host and port of an endpoint, by which a server is called."""
    _, _, rest = endpoint_url.rpartition("://")
    return rest.partition("/")[0] or endpoint_url


def stored_sample(line: str) -> tuple[dict[str, str], float, float] | None:
    """A line of OpenMetrics with a time, or of a dump: labels with the name, value, unix seconds; ``None`` for others.

    A dump has the name among the labels, and milliseconds.
    """
    found = _LINE.match(line)
    if found is None or line.startswith("#"):
        return None
    labels = {label: _unescaped(value) for label, value in _LABEL.findall(found["labels"] or "")}
    try:
        value, at = float(found["value"]), float(found["at"])
    except ValueError:
        return None
    if found["name"]:
        labels[NAME] = found["name"]
    else:
        at /= _MILLISECONDS
    if not labels.get(NAME) or not 0 <= at < LATEST_DATE_SECONDS:
        return None
    return labels, value, at


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), value) if "\\" in value else value


def page(samples: Iterable[Sample], keep: Keep) -> bytes:
    """The samples as the text of an exposition, without the labels that whoever scraped them has added."""
    return "".join(_line(*sample) for sample in samples if keep(sample[0]) and not math.isnan(sample[2])).encode()


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    own = ",".join(
        f'{key}="{_escaped(text)}"' for key, text in labels.items() if key != NAME and key not in TARGET_LABELS
    )
    return f"{name}{{{own}}} {value!r}\n" if own else f"{name} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
