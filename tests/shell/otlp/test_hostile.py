"""A flood of spans at the real daemon: more than it takes, each of another tenant. It stays what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hostile_spans import LIMIT, SENDERS, SPANS, run

SECONDS = 6.0
GROWTH_BYTES = 96 * 1024**2
"""Eight senders' exports in flight, and the ids of all spans that were taken."""


@pytest.mark.long
def test_a_flood_is_put_off_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Memory, series and faults stay bounded, the engine is watched on, and no more spans are taken than allowed."""
    report = run(SECONDS, tmp_path)
    assert set(report.statuses) <= {200, 429, 503}
    assert report.statuses[429] > 0
    assert report.faults == 0
    assert report.up == 1
    assert SPANS <= report.spans["request"] <= LIMIT * (report.seconds + 2) + SENDERS * SPANS
    assert report.tenants <= 50
    sizes = [size for _, size in report.resident]
    assert sizes[-1] - sizes[0] < GROWTH_BYTES
