"""ρ = λ/μ: how loaded an engine is, and how wrong that may be."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, hypot, log

from kvwatch.core.traffic.arrival_rate import ArrivalRate, reference_window
from kvwatch.estimate import UNKNOWN, Estimate, KeyedEstimate, Reason


def utilization(rates: Mapping[str, ArrivalRate], service_rate: Estimate) -> KeyedEstimate:
    """ρ by window, never clamped; the verdict is that over the longest window that is known."""
    window = reference_window(rates)
    if window is None:
        verdict = next(iter(rates.values())).estimate.verdict
    else:
        verdict = Reason.OK if _is_idle(rates[window].estimate, service_rate) else service_rate.verdict
    ratios = {name: ratio_of_rates(rate.estimate, service_rate) for name, rate in rates.items()}
    return KeyedEstimate.of(ratios, verdict)


def ratio_of_rates(arrival_rate: Estimate, service_rate: Estimate) -> Estimate:
    """λ/μ; 0 when nothing arrives, even while μ is unknown, so that an idle server can be scaled down."""
    if arrival_rate.value is None:
        return UNKNOWN
    if _is_idle(arrival_rate, service_rate):
        value = 0.0
    elif service_rate.value:
        value = arrival_rate.value / service_rate.value
    else:
        return UNKNOWN
    return Estimate(value, _end(value, arrival_rate, service_rate, -1), _end(value, arrival_rate, service_rate, 1))


def _is_idle(arrival_rate: Estimate, service_rate: Estimate) -> bool:
    """Whether there is no load because nothing arrives; not where those that have arrived are not served."""
    return arrival_rate.value == 0 and service_rate.verdict is not Reason.QUEUE_STANDS


def _end(value: float, arrival_rate: Estimate, service_rate: Estimate, side: int) -> float | None:
    """One end of ρ's 90% interval: λ's and μ's relative errors are independent, so they add in squares."""
    rate, of_rate = arrival_rate.value, arrival_rate.upper if side > 0 else arrival_rate.lower
    mu, of_mu = service_rate.value, service_rate.upper if side < 0 else service_rate.lower
    if mu is None or of_rate is None or not of_mu:
        return None
    if not value or not rate or not arrival_rate.lower:
        # no ratio to the estimate exists at 0: the rate's own bound over the μ that makes it widest
        return of_rate / of_mu
    return value * exp(side * hypot(log(of_rate / rate), log(of_mu / mu)))
