"""The tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from bench.autoscaling.policies import OWN, RIVALS, SWEEPS, TITLES, USUAL, Policy
from bench.autoscaling.scenarios import KV_BOUND, Scenario
from bench.autoscaling.score import Equal, Outcomes, Total, at_equal_hours, flaps, totals

_INTRO = """\
# Autoscaling

Written by `python -m bench.autoscaling` on {date} ({commit}).
What is simulated is in `bench/autoscaling/__init__.py`. The engines are kvwatch's emulated vLLM scheduler in virtual
time; a replica takes 2 to 8 minutes to start and holds its GPU all the while; the HPA and KEDA are models of the
documented algorithms, going up at once and down after their default of 5 minutes, but for `kvwatch_replicas_required`,
where it is the chart's one minute. A request is late if it waits more than 2 s before it is scheduled for the first
time. A flap is a change of direction within ten minutes. The first 15 minutes of a scenario are not counted.
"""
_POLICIES = """\

## All policies

Over all scenarios. *Steady changes* and *steady flaps* are those under constant load, where there is no reason for any.
The usual settings are bold.
"""
_EQUAL = """\

## At equal GPU-hours

A rival's late requests had it been given the GPU-hours of the policy on the left: the least that its settings reach
with no more of them, interpolated between settings. A star marks where its sweep does not reach so few or so many: its
nearest setting stands for it there. Goal: a third of the better rival's. Each scenario is one seed, and requests are
late in a few stretches of time only, so a ratio within one kind of engine is rough.
"""
_BY_SCENARIO = """\

## By scenario

At the usual settings: late requests, GPU-hours, flaps.
"""


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if share < 0.1 else f"{100 * share:.1f}%"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def is_usual(policy: Policy) -> bool:
    """Whether a policy is at the setting that guides recommend."""
    return policy == Policy(policy.signal, USUAL[policy.signal])


def groups(scenarios: Collection[Scenario]) -> dict[str, list[Scenario]]:
    """All scenarios, and those in which memory or seats bind."""
    memory = [s for s in scenarios if s.engine_index == KV_BOUND]
    seats = [s for s in scenarios if s.engine_index != KV_BOUND]
    return {"all": list(scenarios), "memory binds": memory, "seats bind": seats}


def curve(found: Sequence[Total], signal: str) -> list[Total]:
    """A signal's sweep, by GPU-hours; without what was run with another behavior."""
    alike = [t for t in found if t.policy == Policy(signal, t.policy.target)]
    return sorted(alike, key=lambda t: t.gpu_hours)


def rivals_at(found: Sequence[Total], gpu_hours: float) -> dict[str, Equal]:
    """What each rival reaches with so many GPU-hours."""
    curves = {signal: curve(found, signal) for signal in RIVALS}
    return {signal: at_equal_hours(points, gpu_hours) for signal, points in curves.items() if points}


def policies_table(found: Sequence[Total]) -> str:
    """Every policy over all scenarios."""
    rows = []
    for signal in SWEEPS:
        for t in sorted((t for t in found if t.policy.signal == signal), key=lambda t: t.policy.target):
            name = f"**{t.policy.name}**" if is_usual(t.policy) else t.policy.name
            numbers = (str(t.flaps), str(t.steady_changes), str(t.steady_flaps))
            rows.append((name, _percent(t.late_share), f"{t.gpu_hours:.1f}", *numbers))
    return _table(("policy", "late", "GPU-hours", "flaps", "steady changes", "steady flaps"), rows)


def equal_table(found: Sequence[Total]) -> str:
    """Own policies against the rivals with as many GPU-hours."""
    rows = []
    own = [t for t in found if t.policy.signal in OWN]
    for t in sorted(own, key=lambda t: (OWN.index(t.policy.signal), t.gpu_hours)):
        equal = rivals_at(found, t.gpu_hours)
        if not equal:
            continue
        best = min(equal.values(), key=lambda e: e.late_share).late_share
        shares = [_percent(e.late_share) + ("*" if e.beyond else "") for e in equal.values()]
        rows.append(
            (t.policy.name, f"{t.gpu_hours:.1f}", _percent(t.late_share), *shares, f"{t.late_share / best:.2f}")
        )
    titles = [TITLES[s] for s in RIVALS if curve(found, s)]
    return _table(("policy", "GPU-hours", "late", *titles, "of the better rival's"), rows)


def scenario_table(outcomes: Outcomes, scenarios: Collection[Scenario]) -> str:
    """The usual settings, scenario by scenario."""
    policies = [p for p in dict.fromkeys(p for _, p in outcomes) if is_usual(p)]
    rows = []
    for s in scenarios:
        cells = []
        for p in policies:
            o = outcomes.get((s, p))
            cells.append("" if o is None else f"{_percent(o.late / o.requests)}, {o.gpu_hours:.1f}, {flaps(o.changes)}")
        rows.append((s.name, *cells))
    return _table(("scenario", *(p.name for p in policies)), rows)


def markdown(outcomes: Outcomes, scenarios: Collection[Scenario], picture: str, made: Mapping[str, str]) -> str:
    """The whole page."""
    parts = [_INTRO.format(**made), f"\n![late requests over GPU-hours]({picture})\n", _POLICIES]
    parts += [policies_table(totals(outcomes, scenarios)), _EQUAL]
    for name, members in groups(scenarios).items():
        parts += [f"\n### {name.capitalize()}\n", equal_table(totals(outcomes, members))] if members else []
    return "".join([*parts, _BY_SCENARIO, scenario_table(outcomes, scenarios)])
