"""The latency that the load of now leads to, and how far what is seen is from it."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

from kvwatch.core.latency.curve import Curve
from kvwatch.embedded.latency_curve import KINDS, SHARES, TARGET_SHARE, latency_between
from kvwatch.estimate import UNKNOWN, UNKNOWN_BY_KEY, Estimate, KeyedEstimate, Reason, pair
from kvwatch.stats.normal import Z90

LATENCY_DEVIATION = 0.5
"""Standard deviation of the logarithm of a predicted latency where the load is known [1]. Choice: against long runs
of the embedded engine it is a tenth (bench/latency), but what a minute shows of a load at which queues begin is a
factor off the long run, and a real engine has steps that stall."""


def doubt(curve: Curve | None, service_rate: Estimate, *, wanted: bool) -> Reason | None:
    """Why no latency follows from a load; ``None`` where nobody has asked, ``OK`` where one does."""
    if not wanted:
        return None
    if service_rate.verdict is None or not service_rate.verdict.valid:
        return service_rate.verdict or Reason.DEPENDS
    return Reason.OK if curve is not None else Reason.LATENCY_PENDING


def latency_seconds(
    curve: Curve | None, utilization: KeyedEstimate, service_rate: Estimate, *, wanted: bool
) -> KeyedEstimate:
    """Latency by kind and quantile [s] at ρ over its shortest window, in the long run.

    The interval holds the doubt about ρ, and with it about λ and μ, and the model's own. It has no upper end where ρ
    may be so close to 1 that there is no long run.
    """
    reason = doubt(curve, service_rate, wanted=wanted)
    window = next(iter(utilization.value), None)
    if reason is None:
        return UNKNOWN_BY_KEY
    if curve is None or not reason.valid:
        return KeyedEstimate(verdict=reason)
    if window is None:
        return KeyedEstimate(verdict=utilization.verdict or Reason.DEPENDS)
    if not (utilization.verdicts.get(window) or utilization.verdict or Reason.OK).valid:
        return KeyedEstimate(verdict=utilization.verdicts.get(window) or utilization.verdict)
    rho = Estimate(utilization.value[window], utilization.lower.get(window), utilization.upper.get(window))
    found = {pair(kind, f"{share:g}"): _at(curve, kind, share, rho) for kind in KINDS for share in SHARES}
    if all(one.value is None for one in found.values()):
        return KeyedEstimate(verdict=Reason.NO_STEADY_STATE)
    return KeyedEstimate.of(found, Reason.OK)


def _at(curve: Curve, kind: str, share: float, rho: Estimate) -> Estimate:
    if rho.value is None:
        return UNKNOWN
    value = latency_between(curve.points, kind, share, rho.value)
    if value is None:
        return UNKNOWN
    lower = None if rho.lower is None else latency_between(curve.points, kind, share, rho.lower)
    upper = None if rho.upper is None else latency_between(curve.points, kind, share, rho.upper)
    off = exp(Z90 * LATENCY_DEVIATION)
    return Estimate(value, None if lower is None else lower / off, None if upper is None else upper * off)


def latency_residual_ratio(predicted: KeyedEstimate, seen: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """How far the seen 95th percentile is from the predicted one, over it, by kind.

    ``seen`` are the edges of the histogram's bucket that it lies in [s]: what lies in the same bucket is not apart,
    else the nearer edge counts.
    """
    apart = {}
    for kind in KINDS:
        key = pair(kind, f"{TARGET_SHARE:g}")
        value = predicted.value.get(key)
        if value and key in seen:
            low, high = seen[key]
            apart[kind] = min(max(value, low), high) / value - 1
    return apart
