"""How far the model's μ may be off: by the fit of its law, by how far full load is from anything seen, by its kind."""

from __future__ import annotations

from math import hypot, log

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.queueing.full_load import FullLoad

_MODEL_DEVIATION = 0.025
"""Relative standard deviation of the embedded engine's μ against a real one's, fed the same requests and step law [1].
Measured: bench/fidelity, root mean square 1.7% over seven saturated phases, the worst 3.3%; rounded up for traffic
other than theirs. With half of it 23 of 24 intervals on the recordings hold the true μ, with double they are 3% wider
at most."""
_UNCORRECTED_DEVIATION = 0.15
"""The same for the closed form alone, which knows no evictions [1]. Measured: bench/congestion, where evictions cost a
full engine 15% of its throughput in the mean of the mixes, and 27% at most."""
CURVATURE_DEVIATION = 0.03
"""Relative standard deviation of the step time for each factor e of extrapolation: no law is quite straight [1].
Measured: with it and the fit's own deviation the law's errors are 0.9 times as wide as said over 19 phases of
recordings and over mixtures of experts, 0.6 times over dense simulated engines; 0.06 made that 0.75, 0.8 and 0.5."""


def _law_deviation(full: FullEngineInputs, load: FullLoad) -> float:
    """Relative sd of the step time at full load: of the fit, and of the law's straightness beyond what was seen."""
    return hypot(full.law.relative_deviation(load.composition), CURVATURE_DEVIATION * extrapolation(full, load))


def extrapolation(full: FullEngineInputs, load: FullLoad) -> float:
    """Logarithm of how far beyond anything seen the full step's sequences and resident tokens are; 0 if within."""
    (n, _, k, _), (seen_n, _, seen_k) = load.composition, full.law.seen
    if seen_n <= 0 or seen_k <= 0:
        return 1.0
    return max(log(max(n / seen_n, k / seen_k)), 0.0)


def model_deviation(full: FullEngineInputs, load: FullLoad, *, corrected: bool) -> float:
    """Relative sd of the model's μ."""
    model = _MODEL_DEVIATION if corrected else _UNCORRECTED_DEVIATION
    return hypot(hypot(_law_deviation(full, load), full.mix.deviation), model)
