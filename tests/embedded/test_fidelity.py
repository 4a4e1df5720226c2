"""Fed what a real vLLM was fed, the embedded engine does what the real one did."""

from __future__ import annotations

import pytest

from bench.fidelity import RECORDINGS, compare


@pytest.mark.parametrize("name", ["chat", "homog", "ramp11", "seqcap"])
def test_saturated_phases_come_out_as_on_the_real_server(name: str) -> None:
    """Throughput within 5%, evictions per finished request within 25% or 0.02, in every saturated phase."""
    rows = compare(RECORDINGS / name)
    assert rows
    for phase, real, emulated in rows:
        assert emulated.throughput_rps == pytest.approx(real.throughput_rps, rel=0.05), phase
        assert emulated.preemptions_per_finished == pytest.approx(real.preemptions_per_finished, rel=0.25, abs=0.02), (
            phase
        )
        assert emulated.running == pytest.approx(real.running, rel=0.05), phase
