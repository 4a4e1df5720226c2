"""What a Prometheus has kept of vLLM servers: which there were, and each one's scrapes as they were made.

Samples are read with the times at which they were scraped, by a range selector in an instant query: the steps of a
range query would move them by up to an interval, and repeat those that are missing.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kvwatch.parse.history import NAME, StoredSeries, anchor_pattern, model_of, names_like, target_labels
from kvwatch.promql.evaluation import parsed
from kvwatch.shell.prometheus.api import Api, PrometheusError, TooMuchError

_SAMPLES_A_QUERY = 250_000
"""Samples that are asked for at once [samples]. Choice: an answer of some megabytes, far below the 50 million that a
Prometheus allows one query by default."""
_USUAL_SERIES = 140
"""Series of one engine that are read [1]. Measured: 110 to 140 of a vLLM 0.32."""
LEAST_WINDOW_SECONDS = 60.0
"""Shortest window that is asked for [s]. Choice: what no server can answer of it, it cannot answer at all."""
_INTERVAL_SAMPLE_SECONDS = 3600.0
"""Stretch in which the scrape interval is looked for [s]. Choice: at 60 s it has sixty scrapes."""


class NoSeriesError(PrometheusError):
    """There is nothing of vLLM in that time."""


@dataclass(frozen=True, slots=True)
class Found:
    """One server: the labels that tell it from others, how it spells its metrics, and its models and engines.

    ``anchors`` are names of one metric as they are spelled there, the shortest first: what is in front of it may differ
    from engine to engine.
    """

    labels: Mapping[str, str]
    anchors: tuple[str, ...]
    models: tuple[str, ...]
    engines: int

    @property
    def name(self) -> str:
        """What it is called: its instance, where it has one."""
        return self.labels["instance"] or self.labels["pod"] or ",".join(filter(None, self.labels.values())) or "vllm"


def matchers_of(text: str) -> str:
    """The matchers of ``--match``, with or without braces, in a form that can be put into a selector.

    Raises ValueError where they are none.
    """
    inner = text.strip().removeprefix("{").removesuffix("}").strip().strip(",")
    parsed(f'{{{NAME}="x",{inner}}}')
    return inner


async def find_targets(api: Api, matches: Sequence[str], start: float, end: float) -> list[Found]:
    """Every vLLM server with series in that time [unix s], by name.

    Raises:
        NoSeriesError: there is none.
        PrometheusError: it cannot be asked.
    """
    anchors = anchor_pattern().replace("\\", "\\\\")
    found: dict[tuple[tuple[str, str], ...], list[dict[str, str]]] = defaultdict(list)
    for match in matches or ("",):
        selector = f'{{{NAME}=~"{anchors}"{"," if match else ""}{match}}}'
        series = await api.ask("/api/v1/series", **{"match[]": selector, "start": f"{start:.3f}", "end": f"{end:.3f}"})
        for labels in series:
            key = tuple(sorted(target_labels(labels).items()))
            if labels not in found[key]:
                found[key].append(labels)
    if not found:
        which = f" that match {' or '.join(matches)}" if matches else ""
        raise NoSeriesError(
            f"{api.url} has no series of a vLLM (such as vllm:num_requests_running){which} between --start and --end"
        )
    return sorted((_found(dict(key), all_labels) for key, all_labels in found.items()), key=lambda f: (f.name, str(f)))


def _found(labels: dict[str, str], series: list[dict[str, str]]) -> Found:
    anchors = tuple(sorted({one[NAME] for one in series}, key=lambda name: (len(name), name)))
    return Found(labels, anchors, tuple(sorted({model_of(one) for one in series})), len(series))


async def scrape_interval(api: Api, target: Found, start: float, end: float) -> float | None:
    """The usual time between two scrapes of a server [s], from the first stretch that has some; ``None`` without."""
    at = start
    while at < end:
        until = min(at + _INTERVAL_SAMPLE_SECONDS, end)
        times: set[float] = set()
        for one in await _select(api, f"{target.anchors[0]}{{{_exactly(target.labels)}}}", at, until):
            times.update(one.at.tolist())
        gaps = np.diff(sorted(times))
        if len(gaps) >= 2:
            return float(np.median(gaps))
        at = until + (until - at) * 3  # a server that came late: look on in longer strides
    return None


async def windows(
    api: Api, target: Found, start: float, end: float, interval_seconds: float
) -> AsyncIterator[tuple[float, float, list[StoredSeries]]]:
    """A server's series, window after window: after its begin, up to its end [unix s].

    A window that is too much for one answer is asked for in halves.
    """
    names = "|".join(re.escape(name) for name in names_like(target.anchors)).replace("\\", "\\\\")
    selector = f'{{{NAME}=~"{names}",{_exactly(target.labels)}}}'
    room = _SAMPLES_A_QUERY * interval_seconds / (_USUAL_SERIES * target.engines)
    pending = list(itertools.pairwise(_cuts(start, end, max(room, LEAST_WINDOW_SECONDS))))[::-1]
    while pending:
        begin, until = pending.pop()
        try:
            series = await _select(api, selector, begin, until)
        except TooMuchError as error:
            middle = round((begin + until) / 2, 3)
            if until - begin <= LEAST_WINDOW_SECONDS:
                raise PrometheusError(f"even {until - begin:.0f} s of {target.name} are too much: {error}") from None
            pending += [(middle, until), (begin, middle)]
            continue
        yield begin, until, series


def _cuts(start: float, end: float, seconds: float) -> list[float]:
    """The ends of windows of equal length, none longer than asked."""
    count = max(math.ceil((end - start) / seconds), 1)
    return [round(start + (end - start) * i / count, 3) for i in range(count + 1)]


async def _select(api: Api, selector: str, start: float, end: float) -> list[StoredSeries]:
    """Samples after ``start`` and up to ``end``. Prometheus 2 gives those at ``start`` too."""
    milliseconds = math.ceil((end - start) * 1000)
    answer = await api.ask("/api/v1/query", query=f"{selector}[{milliseconds}ms]", time=f"{end:.3f}")
    if not isinstance(answer, dict) or answer.get("resultType") != "matrix":
        raise PrometheusError("it does not answer a range selector with samples, as a Prometheus does")
    found = []
    for one in answer["result"]:
        at = np.array([pair[0] for pair in one["values"]], dtype=float)
        values = np.array([float(pair[1]) for pair in one["values"]])
        kept = (at > start) & (at <= end)
        if kept.any():
            found.append(StoredSeries(one["metric"], at[kept], values[kept]))
    return found


def _exactly(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
