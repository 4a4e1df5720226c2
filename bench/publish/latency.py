"""Figures of the committed comparison of predicted latencies with the embedded engine's own."""

from __future__ import annotations

import json
from typing import Any

from bench.latency.__main__ import RESULTS, near, report
from bench.latency.truth import LOADS
from bench.latency_real import __main__ as real


def page() -> str:
    """The results page."""
    return report(_known())


def engines() -> str:
    """How many engines are compared."""
    return str(len(_known()))


def near_by_load() -> str:
    """In how many the 95th percentile of waiting is near the truth, by load, in words."""
    found = {load: near(_known(), str(load), "wait") for load in LOADS}
    return ", ".join(f"{good} of {number} at {load:.0%}" for load, (good, number) in found.items())


def curve_seconds() -> str:
    """CPU of a curve in the median [s]."""
    cpu = sorted(entry["cpu_seconds"] for entry in _known().values())
    return f"{cpu[len(cpu) // 2]:.0f} s"


def real_first_tokens() -> str:
    """In how many phases of recorded servers the time to the first token was in its interval, in words."""
    chosen = real.in_range(real.load(), "ttft")
    return f"{sum(c.covered for c in chosen)} of {len(chosen)} phases"


def real_recordings() -> str:
    """How many recordings these are of."""
    return str(len({c.recording for c in real.load()}))


def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return known
