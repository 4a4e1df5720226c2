"""What one simulated engine showed and was asked for under rising loads: numbers that survive any change of kvwatch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.accuracy.snapshot import EPOCH, Reader
from kvwatch.embedded.settings import RequestShape
from kvwatch.facts import Scrape

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trace:
    """A run of an engine.

    Attributes:
        at: Virtual times of the scrapes [s].
        rows: One row of :func:`bench.accuracy.snapshot.row` for each.
        arrivals: (time [s], prompt, output and shared tokens, prefix) of each request, by time.
        truth: What is true of the engine, as :mod:`bench.accuracy.simulate` writes it down.
    """

    at: Array
    rows: Array
    arrivals: Array
    truth: dict[str, Any]

    def scrapes(self, reader: Reader, start: float, end: float) -> Iterator[Scrape]:
        """The scrapes of a span of virtual time, both ends included."""
        for index in range(*np.searchsorted(self.at, [start, end + 1e-9]).tolist()):
            sample = reader.sample(self.rows[index].tolist())
            yield Scrape(EPOCH + float(self.at[index]), (sample,), process_start=EPOCH)

    def arrived(self, start: float, end: float) -> list[RequestShape]:
        """Shapes of the requests that arrived in (start, end]."""
        first, last = np.searchsorted(self.arrivals[:, 0], [start, end], side="right").tolist()
        return [RequestShape(*(int(v) for v in arrival[1:])) for arrival in self.arrivals[first:last]]

    def save(self, path: Path) -> None:
        """Write to a file, complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        truth = np.array(json.dumps(self.truth))
        np.savez_compressed(part, at=self.at, rows=self.rows, arrivals=self.arrivals, truth=truth)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Trace:
        """The inverse of :meth:`save`."""
        with np.load(path) as found:
            return cls(found["at"], found["rows"], found["arrivals"], json.loads(str(found["truth"])))

    @classmethod
    def made(
        cls, at: Sequence[float], rows: Sequence[Sequence[float]], arrivals: Array, truth: dict[str, Any]
    ) -> Trace:
        """Of what a simulation has collected."""
        return cls(np.array(at, dtype=float), np.array(rows, dtype=float), arrivals, truth)
