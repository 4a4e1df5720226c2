"""Figures from the benches' committed results: simulated engines, ramps, autoscalers and mixes of lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import fmean
from typing import Any

from bench.accuracy import results as accuracy
from bench.accuracy.cases import Outcome
from bench.accuracy.summary import Group, group, groups_by
from bench.autoscaling import report as autoscaling_report
from bench.autoscaling import results as autoscaling
from bench.autoscaling.policies import Policy
from bench.autoscaling.score import Total, totals
from bench.congestion.__main__ import CLASSES, EMBEDDED, read, real_runs
from bench.lead_time import results as lead_time
from bench.lead_time.judge import KVWATCH, Judged
from bench.lead_time.summary import false_pages, lead, overloaded

_LONG_RAMP_SECONDS = 1800.0
_STATED_LOAD = 0.25
"""From which load on README states errors and coverage."""


@cache
def _sweep() -> list[Outcome]:
    return [o for o in accuracy.load().designs["dense"] if not o.name_known]


@cache
def _stated() -> Group:
    return group("stated", [o for o in _sweep() if o.load >= _STATED_LOAD])


def sweep_engines() -> str:
    """How many engines were simulated."""
    return str(len({o.engine for o in _sweep()}))


def sweep_loads() -> str:
    """Under how many loads each."""
    return str(round(len(_sweep()) / len({o.engine for o in _sweep()})))


def sweep_median() -> str:
    """Median error of μ."""
    return f"{_stated().median:.1%}"


def sweep_p95() -> str:
    """95th percentile of the error of μ."""
    return f"{_stated().p95:.0%}"


def sweep_coverage() -> str:
    """Share of the cases in which the 90% interval holds the truth."""
    return f"{_stated().coverage:.0%}"


def sweep_limit_right() -> str:
    """Share of the cases in which the limit that binds is named right."""
    return f"{_stated().limit_right:.0%}"


def moe_engines() -> str:
    """How many engines with mixtures of experts were simulated."""
    return str(len({o.engine for o in accuracy.load().designs["moe"]}))


def moe_table() -> str:
    """Errors on simulated mixtures of experts by load, the model's name known and not; held-out engines apart."""
    lines = [
        "| the model's name | engines | load | median error | 95th percentile | interval covers |",
        "|---|---|---|---|---|---|",
    ]
    for known, name in ((True, "known"), (False, "an alias")):
        for held_out, kind in ((False, "tuned on"), (True, "held out")):
            found = [o for o in accuracy.load().designs["moe"] if (o.name_known, o.held_out) == (known, held_out)]
            for number, g in enumerate(groups_by(found, lambda o: f"{o.load:.2f}")):
                titles = (name, kind) if number == 0 else ("", "")
                cells = (*titles, g.name, f"{g.median:.0%}", f"{g.p95:.0%}", f"{g.coverage:.0%}")
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("|  |", "| |").replace("|  |", "| |")


def moe_light() -> str:
    """Errors at a quarter of the capacity where the model's name is known: the middle, one in twenty, the worst."""
    found = [o for o in accuracy.load().designs["moe"] if o.name_known and o.load == _STATED_LOAD]
    worst = max(abs(o.error) for o in found if o.error is not None)
    light = group("light", found)
    return f"{light.median:.0%} in the middle, by {light.p95:.0%} or more in one of twenty, by {worst:.0%} at worst"


@cache
def _judged() -> Sequence[Judged]:
    return lead_time.load().cases


def _ramps(*, long: bool) -> list[Judged]:
    return [j for j in overloaded(_judged(), "ramp") if (j.case.rise_seconds >= _LONG_RAMP_SECONDS) == long]


def long_ramps_in_time() -> str:
    """On how many ramps of half an hour or more the page came before the queue grew."""
    found = _ramps(long=True)
    in_time = sum(lead(j, KVWATCH) > 0 for j in found)
    return f"all of {len(found)}" if in_time == len(found) else f"{in_time} of {len(found)}"


def short_ramps_too_late() -> str:
    """On how many shorter ramps it did not."""
    found = _ramps(long=False)
    return f"{sum(lead(j, KVWATCH) <= 0 for j in found)} of {len(found)}"


def false_pages_in_hours() -> str:
    """Pages in stable time, and at which loads the runs were that are stable throughout."""
    found = false_pages(_judged(), KVWATCH)
    loads = [stretch.start for j in _judged() if j.case.kind == "stable" and j.case.steady for stretch in j.case.load]
    span = f"{min(loads):g} to {max(loads):g}"
    return f"{found.pages} false pages in {found.hours:,.0f} stable hours, nearly all at loads of {span}"


def bursts_paged() -> str:
    """Short overloads, in how many hours, and pages of them."""
    chosen = [j for j in _judged() if j.case.kind == "bursts"]
    bursts = sum(stretch.start > 1 for j in chosen for stretch in j.case.load)
    hours = sum(j.case.seconds for j in chosen) / 3600
    paged = sum(j.of(KVWATCH).pages for j in chosen)
    return f"of {bursts} such bursts in {hours:.0f} hours of the emulated engine, {paged} paged"


_POLICIES = (
    ("HPA, `kvwatch_utilization` over 1m, 0.8", Policy("utilization", 0.8)),
    ("HPA, `kvwatch_utilization` over 1m, 0.7", Policy("utilization", 0.7)),
    ("HPA, `kvwatch_utilization` over 5m, 0.8", Policy("utilization 5m", 0.8)),
    ("HPA or KEDA, `kvwatch_replicas_required`, ρ 0.8", Policy("required", 0.8)),
    ("HPA, `kvwatch_replicas_required`, ρ 0.7", Policy("required", 0.7)),
    ("HPA, KV cache usage 0.8, as usual", Policy("kv_usage", 0.8)),
    ("HPA, KV cache usage 0.4", Policy("kv_usage", 0.4)),
    ("HPA, requests waiting 10, as usual", Policy("waiting", 10.0)),
    ("KEDA, requests waiting 5, as usual", Policy("keda waiting", 5.0)),
)
_SLOW_DOWN = Policy("required", 0.8, down_seconds=300.0)


@cache
def _totals() -> dict[Policy, Total]:
    found = autoscaling.load()
    return {t.policy: t for t in totals(found.outcomes, found.scenarios)}


def policies() -> str:
    """Late requests, GPU-hours and flaps of the policies that docs/kubernetes.md speaks of."""
    lines = ["| policy | late | GPU-hours | flaps | flaps under steady load |", "|---|---|---|---|---|"]
    for title, policy in _POLICIES:
        t = _totals()[policy]
        lines.append(f"| {title} | {_late(t.late_share)} | {t.gpu_hours:.1f} | {t.flaps} | {t.steady_flaps} |")
    return "\n".join(lines)


def _late(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _of_the_rivals(policy: Policy) -> float:
    """Late requests over those of the better rival at as many GPU-hours."""
    total = _totals()[policy]
    equal = autoscaling_report.rivals_at(list(_totals().values()), total.gpu_hours)
    return total.late_share / min(e.late_share for e in equal.values())


def _times_as_many(chosen: Sequence[Policy]) -> str:
    factors = sorted(1 / _of_the_rivals(p) for p in chosen)
    return f"{factors[0]:.1f} to {factors[-1]:.1f}"


def rivals_late_times() -> str:
    """How many times as many late requests the better rival has, over a minute."""
    return _times_as_many([Policy("utilization", 0.7), Policy("utilization", 0.8), Policy("required", 0.8)])


def rivals_late_times_5m() -> str:
    """The same, over five minutes."""
    return _times_as_many([p for p in _totals() if p.signal == "utilization 5m"])


def slow_down_ratio() -> str:
    """Late requests over the better rival's with a window of five minutes for going down."""
    return f"{_of_the_rivals(_SLOW_DOWN):.2f}"


def quick_down_ratio() -> str:
    """And with one minute."""
    return f"{_of_the_rivals(Policy('required', 0.8)):.2f}"


def slow_down_hours() -> str:
    """GPU-hours that five minutes cost more than one."""
    return f"{_totals()[_SLOW_DOWN].gpu_hours / _totals()[Policy('required', 0.8)].gpu_hours - 1:.0%}"


def late_in(scenario: str, signal: str, target: float) -> Callable[[], str]:
    """Share of late requests of one policy in one scenario."""

    def figure() -> str:
        found = autoscaling.load().outcomes
        (o,) = [o for (s, p), o in found.items() if s.name == scenario and p == Policy(signal, target)]
        return f"{o.late / o.requests:.1%}" if o.late else "none"

    return figure


_METRICS = {"utilization": "`utilization`", "required": "`replicas_required`"}


def beaten_where(kind: str) -> Callable[[], str]:
    """Own policies (over a minute) that the better rival beats on one kind of engine, at as many GPU-hours."""

    def figure() -> str:
        data = autoscaling.load()
        found = totals(data.outcomes, autoscaling_report.groups(data.scenarios)[kind])
        beaten = []
        for signal, name in _METRICS.items():
            targets = [t.policy.target for t in autoscaling_report.curve(found, signal) if _is_beaten(t, found)]
            if targets:
                beaten.append(f"{name} at {' and '.join(f'{target:g}' for target in sorted(targets))}")
        return " and ".join(beaten) or "none"

    return figure


def _is_beaten(own: Total, found: Sequence[Total]) -> bool:
    rivals = autoscaling_report.rivals_at(found, own.gpu_hours)
    return own.late_share > min(e.late_share for e in rivals.values())


@cache
def _mixes(*, of_classes: bool) -> list[dict[str, Any]]:
    return read(CLASSES if of_classes else EMBEDDED)


def _decided(rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """How many are decided, and how many of those are right."""
    decided = [r for r in rows if r["verdict"] != "undecided"]
    return len(decided), sum(r["waves"] == (r["verdict"] == "unstable") for r in decided)


def mixes_right() -> str:
    """Of the mixes of all kinds."""
    rows = _mixes(of_classes=False)
    decided, right = _decided(rows)
    return f"Of {len(rows)} mixes of all kinds, {decided} are decided and {right} right"


def class_mixes_right() -> str:
    """Of the random mixes of classes."""
    rows = _mixes(of_classes=True)
    decided, right = _decided(rows)
    return f"Of {len(rows)} random mixes of two to six classes, {decided} are decided and {right} right"


def class_mixes_stable_with_waves() -> str:
    """Mixes of classes that are called stable and make waves all the same."""
    found = sum(r["waves"] for r in _mixes(of_classes=True) if r["verdict"] == "stable")
    return str(found) if found else "none"


def class_mixes_unstable_without_wave() -> str:
    """Mixes of classes that are called unstable and make no wave."""
    unstable = [r for r in _mixes(of_classes=True) if r["verdict"] == "unstable"]
    return f"{sum(not r['waves'] for r in unstable)} of the {len(unstable)}"


def _runs(traffic: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of runs on the real server, with the default seats and with fewer."""
    runs = [r for r in real_runs() if r["part"] == "measure" and r["traffic"] == traffic]
    return list(zip(runs[::2], runs[1::2], strict=True))


def real_gain(traffic: str) -> Callable[[], str]:
    """Mean gain of the recommended seats on the real server."""

    def figure() -> str:
        return f"{fmean(b['requests_per_second'] / a['requests_per_second'] for a, b in _runs(traffic)) - 1:.0%}"

    return figure


def real_gain_predicted(traffic: str) -> Callable[[], str]:
    """What kvwatch said that it would be."""

    def figure() -> str:
        said = [r for r in real_runs() if r["part"] == "recommend" and r["traffic"] == traffic]
        return f"{said[-1]['recommended_gain_ratio']:.0%}"

    return figure


def real_evictions_spared(traffic: str) -> Callable[[], str]:
    """Share of the evictions that the recommended seats spared."""

    def figure() -> str:
        before, after = (sum(pair[i]["preemptions"] for pair in _runs(traffic)) for i in (0, 1))
        return f"{1 - after / before:.0%}"

    return figure


def real_pairs() -> str:
    """Pairs of runs for each traffic."""
    return str(len(_runs("fixed")))
