"""The largest λ at which a latency target is met, and how close to it the load is."""

from __future__ import annotations

from math import exp

from kvwatch.core.capacity.utilization import ratio_of_rates
from kvwatch.core.latency.curve import Curve
from kvwatch.core.latency.latency_seconds import LATENCY_DEVIATION, doubt
from kvwatch.embedded.latency_curve import Slo, highest_load
from kvwatch.estimate import UNKNOWN, UNKNOWN_BY_KEY, Estimate, KeyedEstimate, Reason
from kvwatch.stats.normal import Z90


def slo_service_rate(curve: Curve | None, slo: Slo, service_rate: Estimate) -> KeyedEstimate:
    """The largest λ [requests/s] at which 95% of the requests keep to each target, by its kind.

    The ends of the interval are those loads for the ends of μ's, at which the latency surely, or hardly, keeps to it.
    """
    reason = doubt(curve, service_rate, wanted=bool(slo))
    if reason is None:
        return UNKNOWN_BY_KEY
    if curve is None or service_rate.value is None or not reason.valid:
        return KeyedEstimate(verdict=reason if not reason.valid else Reason.DEPENDS)
    rates = {kind: _rate(curve, kind, bound, service_rate) for kind, bound in slo.targets.items()}
    return KeyedEstimate.of(rates)


def _rate(curve: Curve, kind: str, bound: float, mu: Estimate) -> Estimate:
    """One target's; where even the highest load of the curve keeps to it, the upper end is that of μ."""
    far = exp(Z90 * LATENCY_DEVIATION)
    load, least, most = (highest_load(curve.points, kind, bound * factor) for factor in (1.0, 1 / far, far))
    if not load or mu.value is None:
        return Estimate(verdict=Reason.SLO_UNREACHABLE)
    most = 1.0 if most >= curve.points[-1].load else most
    lower, upper = mu.lower or mu.value, mu.upper or mu.value
    return Estimate(load * mu.value, least * lower, most * upper, Reason.OK)


def slo_utilization(arrival_rate: Estimate | None, rates: KeyedEstimate) -> KeyedEstimate:
    """λ over the largest λ that meets each target: above 1 it is missed [ratio]."""
    if rates.verdict is None or arrival_rate is None:
        return UNKNOWN_BY_KEY
    found = {
        kind: ratio_of_rates(arrival_rate, Estimate(rate, rates.lower.get(kind), rates.upper.get(kind)))
        for kind, rate in rates.value.items()
    }
    return KeyedEstimate.of({kind: one for kind, one in found.items() if one is not UNKNOWN}, rates.verdict)


def sized_utilization(target_utilization: float, rates: KeyedEstimate, service_rate: Estimate) -> float:
    """ρ that a replica is sized for: the configured one, or the lower one that the targets allow."""
    if not service_rate.value:
        return target_utilization
    return min((target_utilization, *(rate / service_rate.value for rate in rates.value.values())))
