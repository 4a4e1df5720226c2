"""Results as Markdown tables and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.accuracy.cases import Outcome
from bench.accuracy.changes import Change, Restart
from bench.accuracy.crowded import Cap
from bench.accuracy.recordings import PhaseOutcome
from bench.accuracy.summary import (
    NAMES,
    Group,
    Verdict,
    false_page,
    group,
    groups_by,
    judge_design,
    judge_recordings,
    worst,
)

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def ratio(value: float | None, spec: str = "+.1%") -> str:
    """A ratio as a percentage; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else format(value, spec)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def verdicts(found: Iterable[Verdict]) -> str:
    """Claims and what was measured."""
    return table(("claim", "measured", "holds"), ((v.claim, v.measured, "yes" if v.holds else "**no**") for v in found))


def recordings(outcomes: Sequence[PhaseOutcome]) -> str:
    """Verdicts, then every phase."""
    parts = ["## Recordings of a real vLLM\n", verdicts(judge_recordings(outcomes))]
    for whole, title in (
        (False, "From just before the load on, without the saturated phase before it"),
        (True, "The whole recording"),
    ):
        rows = [
            (
                o.recording,
                f"{o.kind} at {o.load:.0%} of it" if o.kind == "ramp" else o.kind,
                f"{o.load:.2f}" if o.kind == "const" else "",
                _number(o.truth),
                ratio(o.plain_error, "+.0%"),
                _number(o.rate),
                ratio(o.error),
                f"{_number(o.lower)} – {_number(o.upper)}" + ("" if o.covered else " **misses**"),
                (o.limit or "–") + ("" if o.limit in o.true_limits else f" (true: {'/'.join(o.true_limits)})"),
                " ".join(f"{w} {v:.2f}" for w, v in o.utilization_lower.items()),
                o.reason,
            )
            for o in outcomes
            if o.whole == whole
        ]
        head = ("recording", "phase", "load", "true μ", "plain formula", "kvwatch μ", "error", "90% interval", "limit",
                "ρ at least", "validity")  # fmt: skip
        parts += [f"### {title}\n", table(head, rows)]
    return "\n".join(parts)


_GROUP_HEAD = ("", "cases", "absent", "mean error", "median |error|", "95th pct", "covered", "limit right",
               "half width", "law", "scheduler", "lengths")  # fmt: skip


def _group_row(g: Group) -> Row:
    return (
        g.name,
        str(g.cases),
        str(g.absent),
        ratio(g.mean_error),
        ratio(g.median, ".1%"),
        ratio(g.p95, ".1%"),
        ratio(g.coverage, ".0%"),
        ratio(g.limit_right, ".0%"),
        ratio(g.half_width, ".0%"),
        ratio(g.law),
        ratio(g.scheduler),
        ratio(g.lengths),
    )


TITLES = {
    "dense": "Simulated engines: dense models",
    "bases": "Simulated engines: dense models that hide or show the base of steps with prompts",
    "moe": "Simulated engines: mixtures of experts",
}
_WATCHED = {True: "under its model's published name", False: "under an alias"}
"""What kvwatch saw of an engine's name, by whether it was the model's. [definition]"""


def design(name: str, outcomes: Sequence[Outcome]) -> str:
    """Verdicts, errors by load, groups, and the worst cases."""
    engines = len({o.engine for o in outcomes})
    cpu = sum(o.cpu_seconds for o in outcomes)
    named = {o.name_known for o in outcomes}
    parts = [
        f"## {TITLES[name]}\n",
        f"{engines} engines, {len(outcomes)} cases, {cpu / 60:.0f} minutes of CPU besides the simulation. A phase is"
        " 300 s of virtual time, 600 s at loads up to 0.25, after a warm-up that is not watched; loads rise. The truth"
        " is the saturated rate of a long run for the mix of the requests that came in the phase. Each engine was"
        f" watched {' and '.join(words for known, words in _WATCHED.items() if known in named)}.\n",
        verdicts(judge_design(name, outcomes)),
        "Mean errors are signed. *law*, *scheduler* and *lengths* split the mean log of the estimate over the truth: "
        "the step time that the learnt law gives at the true full composition; what the scheduler's model makes of "
        "the true traffic with that law, beyond that; and what comes of the lengths seen so far.\n",
    ]
    for known, words in NAMES.items():
        chosen = [o for o in outcomes if o.name_known == known]
        if chosen:
            groups = [group("all loads", chosen), *groups_by(chosen, _load), *groups_by(chosen, _held_out)]
            parts += [f"### {words[0].upper()}{words[1:]}\n", table(_GROUP_HEAD, map(_group_row, groups))]
    hidden = [o for o in outcomes if not o.name_known] or list(outcomes)
    for title, key in (
        ("limit", lambda o: "/".join(o.true_limits)),
        ("law", lambda o: o.kind),
        ("workload", lambda o: o.workload),
        ("hardware", lambda o: o.hardware),
        ("validity", lambda o: o.reason),
        ("extrapolation (true full step over the longest seen)", _far),
        ("requests in the phase", lambda o: _size(o.requests)),
        *((factor, _factor(factor)) for factor in outcomes[0].factors),
    ):
        parts += [f"### Under an alias, by {title}\n", table(_GROUP_HEAD, map(_group_row, groups_by(hidden, key)))]
    parts += ["### E[g] by method, without shared prefixes\n", _demand(hidden)]
    parts += ["### Largest errors\n", _cases(worst(outcomes, 20))]
    wrong = [o for o in hidden if o.limit_right is False]
    parts += ["### Limits named wrong\n", _cases(wrong)] if wrong else []
    pages = [o for o in outcomes if false_page(o)]
    parts += ["### False pages\n", _cases(pages)] if pages else []
    absent = [o for o in outcomes if o.rate is None]
    parts += ["### Without an estimate\n", _cases(absent)] if absent else []
    return "\n".join(parts)


def rebuilt(outcomes: Sequence[PhaseOutcome]) -> str:
    """Recordings rebuilt from public traces of real GPUs."""
    rows = [
        (
            o.recording,
            f"{o.load:.2f}" if o.kind == "const" else "full",
            str(o.requests),
            _number(o.truth),
            ratio(o.plain_error, "+.0%"),
            _number(o.rate),
            ratio(o.error),
            f"{_number(o.lower)} – {_number(o.upper)}" + ("" if o.covered else " **misses**"),
            o.reason,
        )
        for o in sorted(outcomes, key=lambda o: (o.truth, o.load, o.requests))
    ]
    head = ("trace", "load", "requests", "true μ", "plain formula", "kvwatch μ", "error", "90% interval", "validity")
    return "\n".join([
        "## Real GPUs\n",
        "Scrapes rebuilt from public traces of requests, which are not part of this project. Qwen3-14B on one H100"
        " under vLLM 0.23 (inference-sim/residency-vllm@2641b57, without a licence): the truth was measured there.\n",
        "Llama-3.1-8B on one RTX 4090 (casys-kaist/LLMServingSim@5daddb2, MIT): 300 requests sent at 10/s into 41,000"
        " tokens of KV memory, judged at each quarter of the time in which requests wait. The truth is what it then"
        " served, by tokens.\n",
        table(head, rows),
    ])  # fmt: skip


def _load(outcome: Outcome) -> str:
    return f"{outcome.load:.2f}"


def _held_out(outcome: Outcome) -> str:
    return "held out from tuning" if outcome.held_out else "tuned on"


def _demand(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for workload in sorted({o.workload for o in outcomes if o.demand_errors}):
        for burstiness in sorted({o.factors["arrivals' CV"] for o in outcomes}):
            chosen = [o for o in outcomes if o.workload == workload and o.factors["arrivals' CV"] == burstiness]
            row = [workload, burstiness, str(len(chosen))]
            for method in ("moments", "occupancy"):
                errors = [o.demand_errors[method] for o in chosen if method in o.demand_errors]
                row += (
                    [ratio(float(np.mean(errors))), ratio(float(np.median(np.abs(errors))), ".1%")]
                    if errors
                    else ["–"] * 2
                )
            if chosen:
                rows.append(row)
    head = ("workload", "arrivals' CV", "cases", "moments: mean", "median |error|", "occupancy: mean", "median |error|")
    return table(head, rows)


def _factor(name: str) -> Callable[[Outcome], str]:
    return lambda outcome: outcome.factors[name]


def _far(outcome: Outcome) -> str:
    x = outcome.extrapolation
    if x is None:
        return "unknown"
    return next(name for edge, name in ((1.0, "1 to 1"), (2.0, "2 to 2"), (4.0, "3 to 4"), (math.inf, "4 beyond"))
                if x <= edge)  # fmt: skip


def _size(requests: int) -> str:
    edges = ((100, "1 up to 100"), (400, "2 up to 400"), (1600, "3 up to 1,600"), (math.inf, "4 more"))
    return next(name for edge, name in edges if requests <= edge)


def _cases(outcomes: Sequence[Outcome]) -> str:
    head = ("engine", "conditions", "name", "load", "requests", "true μ", "kvwatch", "error", "covered", "limit", "law",
            "scheduler", "lengths", "correction", "extrapolation", "evictions", "validity")  # fmt: skip
    return table(
        head,
        (
            (
                o.name,
                o.conditions,
                "known" if o.name_known else "alias",
                f"{o.load:.2f}",
                str(o.requests),
                _number(o.truth),
                _number(o.rate),
                ratio(o.error),
                "yes" if o.covered else "no",
                (o.limit or "–") + ("" if o.limit_right else f" (true: {'/'.join(o.true_limits)})"),
                ratio(o.law_effect),
                ratio(o.scheduler_effect),
                ratio(o.lengths_effect),
                _number(o.correction),
                _number(o.extrapolation),
                _number(o.true_preemptions),
                o.reason,
            )
            for o in outcomes
        ),
    )


def restarts(found: Sequence[Restart]) -> str:
    """The first estimates after restarts."""
    errors = [abs(r.error) for r in found if r.error is not None]
    quantiles = [float(q) for q in np.quantile(errors, (0.5, 0.95))] if errors else [math.nan, math.nan]
    rows = [
        (
            r.name,
            f"{r.load:g}",
            _number(r.truth),
            _number(r.rate),
            ratio(r.error),
            "yes" if r.covered else "no",
            ratio(r.unsaved_error),
        )
        for r in found
    ]
    head = ("engine", "load", "true μ", "kvwatch μ", "error", "covered", "error without saved state")
    return "\n".join([
        "## Restart of the watcher\n",
        "Learnt for 300 s at load 0.7, saved, started anew at the load shown; the estimate after 60 s of scrapes.\n",
        verdicts([
            Verdict("every restart has an estimate", f"{len(found) - len(errors)} without", len(errors) == len(found)),
            Verdict("median error ≤ 3%", f"{quantiles[0]:.1%}", quantiles[0] <= 0.03),
            Verdict("95th percentile ≤ 10%", f"{quantiles[1]:.1%}", quantiles[1] <= 0.10),
        ]),
        table(head, rows),
    ])  # fmt: skip


def caps(found: Sequence[Cap]) -> str:
    """Which caps were recommended, and what they bring."""
    crowded, plain = [c for c in found if c.crowded], [c for c in found if not c.crowded]
    named = [c for c in crowded if c.said is not None]
    won = [(c.said_gain_ratio or 0.0) / c.gain_ratio for c in named]
    rows = [
        (
            c.name,
            "crowded" if c.crowded else "plain",
            str(c.seats),
            f"{c.best_cap} ({ratio(c.gain_ratio, '+.0%')})",
            "–" if c.said_before is None else str(c.said_before),
            "–" if c.said is None else str(c.said),
            ratio(c.said_gain_ratio, "+.0%"),
            f"{ratio(c.claimed_ratio, '+.0%')} (at least {ratio(c.claimed_lower, '+.0%')})" if c.said else "–",
        )
        for c in found
    ]
    head = ("engine", "kind", "seats", "best cap", "said before an overload", "said in it", "its true gain", "claimed")
    kept = sum((c.said_gain_ratio or 0.0) >= (c.claimed_lower or 0.0) for c in named)
    return "\n".join([
        "## Seats beyond what serves most\n",
        "Engines whose seats bind, memory with room, once as they are and once slowed down beyond a number of sequences"
        " of their own. A load of 0.85 of what the best cap serves for 300 s, then an overload. The best cap and gains"
        " are those of long runs under each cap.\n",
        verdicts([
            Verdict("no cap on an engine that needs none", f"{sum(c.said is not None for c in plain)} of {len(plain)}",
                    not any(c.said for c in plain)),
            Verdict("no cap that gains nothing", f"{sum(c.false for c in found)} of {len(found)}",
                    not any(c.false for c in found)),
            Verdict("a cap where one gains", f"{len(named)} of {len(crowded)}", len(named) == len(crowded)),
            Verdict("it brings more than half of what the best one does", f"{sum(w > 0.5 for w in won)} of {len(won)}",
                    all(w > 0.5 for w in won)),
            Verdict("it brings what is claimed at least", f"{kept} of {len(named)}", kept >= 0.9 * len(named)),
        ]),
        table(head, rows),
    ])  # fmt: skip


def changes(found: Sequence[Change]) -> str:
    """How each estimate took each change."""
    rows = []
    for change in found:
        for c in change.courses:
            settled = "never" if c.settled_seconds is None else f"{c.settled_seconds:.0f} s"
            rows.append((
                change.name,
                change.what,
                c.quantity,
                f"{_number(c.before)} → {_number(c.after)}",
                "yes" if c.should_move else "no",
                f"{_number(c.said_before)} → {_number(c.said_after)}",
                settled,
                ratio(c.drift, ".0%"),
            ))  # fmt: skip
    head = ("engine", "change", "estimate", "truth", "should move", "said", "within 10% for a minute after",
            "furthest off in the last two minutes")  # fmt: skip
    judged = []
    for words, experts in (("dense", False), ("mixtures of experts, under an alias", True)):
        errors = [abs(e) for c in found if c.experts == experts and (e := c.new_rate_error) is not None]
        if errors:
            median, most = float(np.median(errors)), max(errors)
            judged.append(
                Verdict(
                    f"{words}: μ of a mix not seen before, after 400 s: median ≤ 6%",
                    f"{median:.1%}, worst {most:.1%}",
                    median <= 0.06,
                )
            )
    return "\n".join([
        "## Changes in mid-run\n",
        "At load 0.6 of the slower engine, Poisson arrivals.\n",
        verdicts(judged),
        table(head, rows),
    ])  # fmt: skip


def as_json(outcomes: Iterable[Outcome | PhaseOutcome]) -> list[dict[str, Any]]:
    """Cases with their errors, for machines."""
    return [asdict(o) | {"error": o.error, "covered": o.covered} for o in outcomes]
