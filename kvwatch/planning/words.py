"""A plan in plain words: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.planning.changes import Change
from kvwatch.planning.engine import Basis, Known
from kvwatch.planning.plan import Plan, Replicas, replicas_for


def headline(plan: Plan) -> str:
    """The answer in a sentence or two."""
    return f"{needed(plan)} {sustained(plan)}" if plan.replicas else sustained(plan)


def needed(plan: Plan) -> str:
    """How many replicas the first load takes; without a load what one sustains."""
    first = plan.replicas[0] if plan.replicas else None
    if first is None:
        return sustained(plan)
    if first.number is None:
        return "No number of replicas keeps to the latency that is asked for."
    return f"{number(first)} for {rate(first.rate)} requests per second."


def sustained(plan: Plan) -> str:
    """What one replica takes at most."""
    return f"One replica sustains {rate(plan.service_rate)} requests per second."


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
    return [f"{basis.what}: {basis.value} [{basis.known}]" for basis in evidence(plan)]


def evidence(plan: Plan) -> list[Basis]:
    """The same one by one."""
    order = list(Known)
    return sorted(plan.basis, key=lambda basis: order.index(basis.known))


def cautions(plan: Plan) -> Iterator[str]:
    """What to know before it is believed."""
    if any(basis.known is Known.DATA_SHEET for basis in plan.basis):
        yield "Nobody has measured this engine: record one replica under load, and plan again, before you buy."
    if (plan.full.preemptions_per_finished or 0) > 0.02:
        yield f"When full it evicts {plan.full.preemptions_per_finished:.0%} of its requests; their work is done twice."


def changed(plan: Plan, change: Change) -> str:
    """A change of μ in per cent, what changes it, and how many replicas that leaves for the first load."""
    words = f"{signed(change.gain_ratio):>5}  {change.words}"
    left = left_replicas(plan, change)
    if left is None or left == plan.replicas[0].number:
        return words
    return f"{words}: {left} instead of {plan.replicas[0].number} replicas"


def left_replicas(plan: Plan, change: Change) -> int | None:
    """How many replicas the first load takes after a change; ``None`` where no number is known."""
    first = plan.replicas[0] if plan.replicas else None
    if first is None or first.number is None or change.gain_ratio <= -1:
        return None
    return replicas_for(first.rate, plan.service_rate * (1 + change.gain_ratio) * plan.load)


def asked_for(plan: Plan) -> str:
    """What is said of the red line in the pictures; nothing where no latency is asked for."""
    return ", the red one the target" if plan.slo else ""


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
    return f"{ratio:+.0%}".replace("-", "−")
