"""Numbers of a view as people read them in a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.traffic.tenants import OTHER, UNKNOWN
from kvwatch.views import EngineView

_LARGE_SHARE = 0.3

LIMIT_WORDS = {"kv": "KV memory", "seqs": "seats (max_num_seqs)", "tokens": "the token budget"}


@dataclass(frozen=True, slots=True)
class Load:
    """λ and ρ over the shortest window, with ρ's 90% interval."""

    arrival_rate: float
    value: float
    lower: float
    upper: float

    @classmethod
    def of(cls, view: EngineView) -> Load | None:
        """The load in a view; None while it is unknown."""
        rho = view.utilization
        window = next(iter(rho.value), None)
        if window is None or window not in rho.lower or window not in rho.upper:
            return None
        return cls(view.arrival_rate.value[window], rho.value[window], rho.lower[window], rho.upper[window])

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.lower:.2f}–{self.upper:.2f})"


def heaviest(view: EngineView) -> str:
    """Who holds a large part of the memory, to be added to a sentence; empty where nobody does or none is named."""
    named = [(share, tenant) for tenant, share in view.demand_share.items() if tenant not in (OTHER, UNKNOWN)]
    share, tenant = max(named, default=(0.0, ""))
    return f"; {share:.0%} of the memory-work is tenant {tenant}'s" if share >= _LARGE_SHARE else ""


def clock(seconds: float) -> str:
    """Time since the start as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def rate(value: float) -> str:
    """Requests per second with about two or three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2f}"


def service_rate(view: EngineView) -> str:
    """μ of a view with its interval."""
    mu = view.service_rate
    if mu.value is None:
        return "unknown"
    if mu.lower is None or mu.upper is None:
        return f"{rate(mu.value)}/s"
    return f"{rate(mu.value)}/s ({span(mu.lower, mu.upper)})"


def span(low: float, high: float) -> str:
    """The two ends of an interval."""
    return f"{rate(low)}–{rate(high)}"


def spell(seconds: float) -> str:
    """A stretch of time in words."""
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
