"""Late requests, GPU-hours and flaps; and what a rival would have reached with the same GPU-hours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from bench.autoscaling.policies import Policy
from bench.autoscaling.scenarios import Scenario
from bench.autoscaling.simulate import Outcome

FLAP_SECONDS = 600.0
"""A change against the direction of the one before, within so long, is a flap."""
_LEAST_SHARE = 1e-5

Outcomes = Mapping[tuple[Scenario, Policy], Outcome]


def flaps(changes: Sequence[Sequence[float]]) -> int:
    """How often the direction turned round within ten minutes; changes are (time [s], before, after)."""
    return sum(
        (later[2] > later[1]) != (earlier[2] > earlier[1]) and later[0] - earlier[0] <= FLAP_SECONDS
        for earlier, later in pairwise(changes)
    )


@dataclass(frozen=True, slots=True)
class Total:
    """A policy over some scenarios."""

    policy: Policy
    requests: int
    late: int
    gpu_hours: float
    flaps: int
    steady_changes: int
    steady_flaps: int

    @property
    def late_share(self) -> float:
        """Share of requests that waited too long."""
        return self.late / self.requests


def total(outcomes: Outcomes, policy: Policy, scenarios: Collection[Scenario]) -> Total | None:
    """Sums over the scenarios; ``None`` unless all of them were run."""
    found = {s: outcomes[s, policy] for s in scenarios if (s, policy) in outcomes}
    if len(found) < len(scenarios):
        return None
    steady = [o for s, o in found.items() if s.steady]
    return Total(
        policy,
        requests=sum(o.requests for o in found.values()),
        late=sum(o.late for o in found.values()),
        gpu_hours=sum(o.gpu_hours for o in found.values()),
        flaps=sum(flaps(o.changes) for o in found.values()),
        steady_changes=sum(len(o.changes) for o in steady),
        steady_flaps=sum(flaps(o.changes) for o in steady),
    )


def totals(outcomes: Outcomes, scenarios: Collection[Scenario]) -> list[Total]:
    """All policies that were run in all these scenarios, in the order of the sweep."""
    policies = dict.fromkeys(p for _, p in outcomes)
    return [t for p in policies if (t := total(outcomes, p, scenarios)) is not None]


@dataclass(frozen=True, slots=True)
class Equal:
    """A rival's share of late requests at given GPU-hours; ``beyond`` if the sweep does not reach so far."""

    late_share: float
    beyond: bool = False


def at_equal_hours(curve: Sequence[Total], gpu_hours: float) -> Equal:
    """The least share that a policy's sweep reaches with no more than so many GPU-hours.

    Between two settings the logarithm of the share is linear in GPU-hours. With fewer hours than any setting took, the
    cheapest setting stands for it, and with more the best one; both are flattering.
    """
    points = sorted((t.gpu_hours, max(t.late_share, _LEAST_SHARE)) for t in curve)
    within = [share for hours, share in points if hours <= gpu_hours]
    if not within or len(within) == len(points):
        return Equal(min(within) if within else points[0][1], beyond=True)
    (low, first), (high, second) = points[len(within) - 1], points[len(within)]
    between = exp(log(first) + (log(second) - log(first)) * (gpu_hours - low) / (high - low))
    return Equal(min(*within, between))
