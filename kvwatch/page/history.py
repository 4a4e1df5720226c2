"""What did an engine do in the last hour? A ring of numbers for each, in bounded memory however many there are.

A row is what an engine's document said at one moment. Rows are five seconds apart while the fleet is small enough for
that and coarser where it is not; when it grows, those that are there are thinned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvwatch.core.engine_state import EngineState
from kvwatch.export.summary import Document, engine_key, limit_in, state_in

SPAN_SECONDS = 3600.0
"""How far back the page looks [s]. Choice: an incident of an hour fits."""
STEPS_SECONDS = (5.0, 15.0, 60.0, 300.0)
"""Times between two rows [s], from a small fleet's to a large one's. Choice: each is a multiple of the one before."""
MOST_ROWS = 72_000
"""Rows of all engines together [1]. Choice: 100 engines at five seconds, 300 at fifteen, in 7 MB."""

COLUMNS = (
    "arrival_rate",
    "utilization",
    "utilization_lower",
    "utilization_upper",
    "limit",
    "service_rate",
    "service_rate_lower",
    "service_rate_upper",
    "service_rate_kv",
    "service_rate_seqs",
    "service_rate_tokens",
    "observed_service_rate",
    "queue_length",
    "running_requests",
    "kv_usage_ratio",
    "ttft_p50",
    "ttft_p95",
    "itl_p50",
    "itl_p95",
    "state",
)
"""What a row holds: numbers of the document under short names, over the shortest window; NaN is unknown."""
QUANTILE_NAMES = {"0.5": "p50", "0.95": "p95"}
"""Quantiles of a latency that rows hold, by their label in the document."""
_STATE_CODES = {state: float(code) for code, state in enumerate(EngineState)}

Rows = NDArray[np.float32]


def row_of(engine: Document) -> list[float]:
    """The row of an engine's document, a number for each of :data:`COLUMNS`."""
    window = next(iter(engine.get("utilization", {})), None) or next(iter(engine.get("arrival_rate", {})), None)
    limits: Mapping[str, float] = engine.get("service_rate_limit", {})
    latency: Mapping[str, Mapping[str, float]] = engine.get("observed_latency_seconds", {})
    found: dict[str, Any] = {
        **{name: engine.get(name, {}).get(window) for name in COLUMNS[:4]},
        **{name: engine.get(name) for name in COLUMNS[5:8] + COLUMNS[11:15]},
        **{f"service_rate_{limit}": rate for limit, rate in limits.items()},
        **{f"{kind}_{QUANTILE_NAMES.get(q)}": value for kind, by in latency.items() for q, value in by.items()},
        "limit": limit_in(engine),
        "state": _STATE_CODES[state_in(engine)],
    }
    return [math.nan if (value := found.get(name)) is None else float(value) for name in COLUMNS]


class _Ring:
    """The rows of one engine, the oldest overwritten; ``slots`` are their times in steps since the epoch."""

    def __init__(self, size: int) -> None:
        self.slots: NDArray[np.int64] = np.full(size, -1, dtype=np.int64)
        self.rows: Rows = np.full((size, len(COLUMNS)), np.nan, dtype=np.float32)

    def put(self, slot: int, row: Iterable[float]) -> None:
        """Write the row of a slot."""
        place = slot % len(self.slots)
        self.slots[place] = slot
        self.rows[place] = np.fromiter(row, dtype=np.float32, count=len(COLUMNS))

    def since(self, slot: int) -> tuple[NDArray[np.int64], Rows]:
        """Slots from ``slot`` on in the order of time, and their rows."""
        order = np.argsort(self.slots)
        kept = order[self.slots[order] >= max(slot, 0)]
        return self.slots[kept], self.rows[kept]


class History:
    """The last hour of all engines.

    ``most_rows`` bounds the memory: with more engines than fit at one step, the next longer one is taken. Beyond what
    fits at the longest, engines that come have no history.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._rings: dict[str, _Ring] = {}
        self._newcomers: dict[str, list[float]] = {}
        """The row of each engine that was first seen at the last look, and that look's time."""
        self._newcomers_at = -math.inf
        self.step_seconds = STEPS_SECONDS[0]

    def __len__(self) -> int:
        return len(self._rings)

    @property
    def bytes(self) -> int:
        """Memory of all rows."""
        return sum(ring.rows.nbytes + ring.slots.nbytes for ring in self._rings.values())

    def record(self, at: float, engines: Iterable[Document]) -> None:
        """Take the documents of all engines at ``at`` [unix s]; a second one within a step replaces the first."""
        rows = {engine_key(engine): row_of(engine) for engine in engines}
        self._follow(at, rows)
        slot = self._slot(at)
        for key, row in rows.items():
            if key in self._rings:
                self._rings[key].put(slot, row)
        self._newcomers = {key: row for key, row in rows.items() if key not in self._rings}
        self._newcomers_at = at

    def since(self, key: str, after: float = -math.inf) -> tuple[list[float], Rows]:
        """Times [unix s] and rows of an engine later than ``after``, the oldest first; empty where it is unknown."""
        ring = self._rings.get(key)
        if ring is None:
            return [], np.empty((0, len(COLUMNS)), dtype=np.float32)
        first = self._slot(after) + 1 if after > 0 else 0
        slots, rows = ring.since(first)
        return [float(slot) * self.step_seconds for slot in slots], rows

    def _follow(self, at: float, rows: Mapping[str, object]) -> None:
        """Begin rings for engines that are seen again, end those whose last row is out of sight, keep within memory.

        One that is seen for the first time waits for the next look, which then has both rows: a server that makes up
        names would take the memory of an hour for each, and thin the rows of the real ones.
        """
        oldest = self._slot(at - SPAN_SECONDS)
        for key in [k for k, ring in self._rings.items() if k not in rows and int(ring.slots.max()) < oldest]:
            del self._rings[key]
        new = [key for key in rows if key in self._newcomers]
        engines = len(self._rings) + len(new)
        fitting = (step for step in STEPS_SECONDS if engines * self._size(step) <= self._most_rows)
        step = next(fitting, STEPS_SECONDS[-1])
        if step > self.step_seconds:
            self._thin(step)
        room = self._most_rows // self._size(self.step_seconds) - len(self._rings)
        for key in new[: max(room, 0)]:
            ring = self._rings[key] = _Ring(self._size(self.step_seconds))
            ring.put(self._slot(self._newcomers_at), self._newcomers[key])

    def _thin(self, step: float) -> None:
        """Go over to a longer step; of the rows that fall together the last stays."""
        ratio = step / self.step_seconds
        for key, ring in self._rings.items():
            thinned = _Ring(self._size(step))
            slots, rows = ring.since(0)
            for slot, row in zip((slots // ratio).astype(int).tolist(), rows, strict=True):
                thinned.put(slot, row)
            self._rings[key] = thinned
        self.step_seconds = step

    def _slot(self, at: float) -> int:
        return int(at // self.step_seconds)

    @staticmethod
    def _size(step: float) -> int:
        """Rows of an engine."""
        return int(SPAN_SECONDS / step)
