"""What a Prometheus would have stored of one case, and what was true, kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from kvwatch.promql.labels import Array, Labels, labels_of

__all__ = ["Array", "Labels", "Trace", "labels_of"]


@dataclass(frozen=True, slots=True)
class Trace:
    """Scraped series and the truth of one case; times are virtual seconds.

    Attributes:
        at: Times of Prometheus' scrapes.
        series: Values by series, one for each scrape, NaN where the series was not there.
        waiting_at: Times at which the queues were looked at.
        waiting: Requests waiting, one row for each engine.
        service_rate: True μ of an engine at the start [requests/s].
        load_factor: ρ at the end of the case's change of mix or hardware, over ρ before it.
        cpu_seconds: What the case cost.
    """

    at: Array
    series: dict[Labels, Array]
    waiting_at: Array
    waiting: Array
    service_rate: float
    load_factor: float
    cpu_seconds: float

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        names = orjson.dumps([list(map(list, labels)) for labels in self.series])
        scalars = np.array([self.service_rate, self.load_factor, self.cpu_seconds])
        draft = path.with_suffix(".draft.npz")
        np.savez_compressed(
            draft,
            at=self.at,
            names=np.frombuffer(names, dtype=np.uint8),
            values=np.array(list(self.series.values())),
            waiting_at=self.waiting_at,
            waiting=self.waiting.astype(np.uint16),
            scalars=scalars,
        )
        draft.rename(path)

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read one."""
        with np.load(path) as stored:
            names = orjson.loads(stored["names"].tobytes())
            labels = [tuple((str(k), str(v)) for k, v in name) for name in names]
            rate, factor, cpu = (float(x) for x in stored["scalars"])
            return cls(
                at=stored["at"],
                series=dict(zip(labels, stored["values"], strict=True)),
                waiting_at=stored["waiting_at"],
                waiting=stored["waiting"].astype(float),
                service_rate=rate,
                load_factor=factor,
                cpu_seconds=cpu,
            )
