"""A plan in plain words: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.planning.changes import Change
from kvwatch.planning.engine import Known
from kvwatch.planning.plan import Plan, Replicas, replicas_for


def headline(plan: Plan) -> str:
    """The answer in a sentence."""
    first = plan.replicas[0] if plan.replicas else None
    sustained = f"One replica sustains {rate(plan.service_rate)} requests per second"
    if first is None:
        return f"{sustained}."
    if first.number is None:
        return f"No number of replicas keeps to the latency that is asked for: {sustained[0].lower()}{sustained[1:]}."
    return f"{number(first)} for {rate(first.rate)} requests per second. {sustained}."


def number(replicas: Replicas) -> str:
    """How many, with the ends of the interval where they are others."""
    if replicas.number is None:
        return "none"
    between = f" ({replicas.lower} to {replicas.upper})" if replicas.lower != replicas.upper else ""
    return f"{replicas.number} replica{'' if replicas.number == 1 else 's'}{between}"


def reason(plan: Plan) -> str:
    """Why so many: what the load of one replica is held under."""
    kept = f"Each is kept at {plan.load:.0%} of what it sustains"
    if not plan.limited_by_latency:
        return f"{kept}, the target utilization."
    if plan.load <= 0:
        return "Even at a tenth of what it sustains the latency is longer than what is asked for."
    return f"{kept}: above that the latency is longer than what is asked for."


def support(plan: Plan) -> list[str]:
    """What the plan rests on, what is measured first."""
    order = list(Known)
    return [
        f"{basis.what}: {basis.value} [{basis.known}]"
        for basis in sorted(plan.basis, key=lambda basis: order.index(basis.known))
    ]


def cautions(plan: Plan) -> Iterator[str]:
    """What to know before it is believed."""
    if any(basis.known is Known.DATA_SHEET for basis in plan.basis):
        yield "Nobody has measured this engine: record one replica under load, and plan again, before you buy."
    if (plan.full.preemptions_per_finished or 0) > 0.02:
        yield f"When full it evicts {plan.full.preemptions_per_finished:.0%} of its requests; their work is done twice."


def changed(plan: Plan, change: Change) -> str:
    """A change of μ in per cent, what changes it, and how many replicas that leaves for the first load."""
    words = f"{signed(change.gain_ratio):>5}  {change.words}"
    first = plan.replicas[0] if plan.replicas else None
    if first is None or first.number is None or change.gain_ratio <= -1:
        return words
    needed = replicas_for(first.rate, plan.service_rate * (1 + change.gain_ratio) * plan.load)
    return words if needed == first.number else f"{words}: {needed} instead of {first.number} replicas"


def rate(value: float) -> str:
    """A rate with three digits."""
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """A time as people say it."""
    if value < 1.0:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def signed(ratio: float) -> str:
    """A gain or loss in per cent."""
    return f"{ratio:+.0%}"
