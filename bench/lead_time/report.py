"""Results as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.lead_time import scenarios
from bench.lead_time.judge import KVWATCH, Judged
from bench.lead_time.scenarios import NEAR_LOAD, RAMP_MINUTES, STABLE_LOADS
from bench.lead_time.simulate import SCRAPE_SECONDS
from bench.lead_time.summary import (
    USABLE_PER_1000_HOURS,
    ahead,
    best_rival,
    claims,
    false_pages,
    lead,
    leads,
    overloaded,
    required_lead,
    rules,
    usable_rivals,
)

_KINDS = {
    "fleet ramp": "ramps of 30 min, three replicas",
    "step": "sudden overload",
    "mix": "outputs get twice as long",
    "slowdown": "steps get twice as slow",
    "day": "days whose peak is too high",
}
Row = Sequence[str]


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _seconds(value: float) -> str:
    return f"{value:+.0f}"


def markdown(cases: Sequence[Judged], *, cpu_seconds: float, made: Mapping[str, str]) -> str:
    """The whole page."""
    hours = sum(j.case.seconds for j in cases) / 3600
    parts = [
        "# Lead time, misses and false pages\n",
        f"Made by `python -m bench.lead_time` on {made['date']} ({made['commit']}). "
        "Simulated fleets in virtual time, seen by kvwatch's core and by a "
        "Prometheus; the rules of `alerts/kvwatch.rules.yaml` as they ship, and rivals' rules, judged by one evaluator "
        "that is tested against a real Prometheus.\n",
        f"{len(cases)} of {len(scenarios.cases())} runs, up to {hours:.0f} simulated hours, {cpu_seconds / 60:.0f} "
        f"minutes of CPU. kvwatch scrapes every {SCRAPE_SECONDS:.0f} s here, Prometheus every 15, 30 or 60 s; each run "
        "begins with a kvwatch that has never seen the engine, and half an hour of steady load.\n",
        "## What is promised\n",
        _table(
            ("claim", "measured", "holds"),
            [(c.claim, c.measured, "yes" if c.holds else "**no**") for c in claims(cases)],
        ),
        "The best rival is the one with the highest median lead: of all, however often it pages falsely, or of those "
        f"that can be used, with at most {USABLE_PER_1000_HOURS:g} false pages in 1,000 stable hours.\n",
        "![Leads](lead_time_leads.svg)\n",
        "![False pages](lead_time_false_pages.svg)\n",
        "## Rules\n",
        _rules(cases),
        "## Ramps by length\n",
        "Seconds by which the page comes before the queue grows for good: median (10th to 90th percentile), and in how "
        "many runs it does not come before. *ahead* is the median over the runs of kvwatch's lead over that rule's.\n",
        *_ramps(cases),
        "## Pages in 1,000 hours by steady load\n",
        _loads(cases),
        "## Other courses\n",
        *_others(cases),
        "## Runs that kvwatch missed, and those where it paged for nothing\n",
        _faults(cases),
        "## Stable time that does not count\n",
        "Where the load was steady and the queue stood for ten minutes all the same, hours and false pages count up to "
        "the beginning of that.\n",
        _dropped(cases),
    ]
    return "\n".join(parts)


def _rules(cases: Sequence[Judged]) -> str:
    ramps = overloaded(cases, "ramp")
    usable = {KVWATCH, *usable_rivals(cases)}
    rows = []
    for rule in rules(cases):
        false, found = false_pages(cases, rule), leads(ramps, rule)
        if found is not None:
            rows.append((
                rule, f"{false.per_1000_hours:.2f}", "yes" if rule in usable else "no", _seconds(found.middle),
                f"{found.missed / found.cases:.1%}", f"{found.early / found.cases:.2f}",
            ))  # fmt: skip
    return _table(
        ("rule", "false pages in 1,000 h", "usable", "median lead on ramps [s]", "missed", "early pages a ramp"),
        rows,
    )  # fmt: skip


def _ramps(cases: Sequence[Judged]) -> list[str]:
    parts = []
    for minutes in RAMP_MINUTES:
        ramps = overloaded(cases, "ramp", minutes)
        if not ramps:
            continue
        rival = best_rival(ramps, usable_rivals(cases))
        parts.append(f"### {minutes} min ({len(ramps)} runs; {required_lead(minutes):.0f} s are asked for)\n")
        parts.append(_leads(ramps, rules(cases), marked=rival))
    return parts


def _leads(cases: Sequence[Judged], names: Sequence[str], *, marked: str | None = None) -> str:
    rows = []
    for rule in names:
        found = leads(cases, rule)
        if found is not None:
            name = f"**{rule}**" if rule == marked else rule
            rows.append((
                name, f"{_seconds(found.middle)} ({_seconds(found.low)} to {_seconds(found.high)})", str(found.missed),
                "" if rule == KVWATCH else _seconds(ahead(cases, rule)),
            ))  # fmt: skip
    return _table(("rule", "lead [s]", "missed", "kvwatch ahead by [s]"), rows)


def _loads(cases: Sequence[Judged]) -> str:
    rows = []
    for rule in rules(cases):
        row = [rule]
        for load in (*STABLE_LOADS, NEAR_LOAD):
            chosen = [j for j in cases if j.case.kind == "stable" and j.case.load[0].start == load]
            hours = sum(j.case.seconds for j in chosen) / 3600
            row.append(f"{1000 * sum(j.of(rule).pages for j in chosen) / hours:.3g}" if hours else "–")
        rows.append(row)
    return _table(("rule", *(f"ρ = {load}" for load in (*STABLE_LOADS, NEAR_LOAD))), rows)


def _others(cases: Sequence[Judged]) -> list[str]:
    parts = []
    for kind, words in _KINDS.items():
        chosen = overloaded(cases, kind)
        if chosen:
            parts += [f"### {words} ({len(chosen)} runs)\n", _leads(chosen, rules(cases))]
    bursts = [j for j in cases if j.case.kind == "bursts"]
    if bursts:
        hours = sum(j.case.seconds for j in bursts) / 3600
        said = ", ".join(f"{rule} {sum(j.of(rule).pages for j in bursts)}" for rule in rules(cases))
        parts.append(
            f"### Bursts of two minutes at ρ = 1.1, else 0.5 ({len(bursts)} runs, {hours:.0f} h): pages\n\n{said}\n"
        )
    return parts


def _faults(cases: Sequence[Judged]) -> str:
    rows = []
    for j in cases:
        own = j.of(KVWATCH)
        if own.false_pages:
            rows.append((j.case.name, f"{own.false_pages} false pages in {j.stable_hours:.0f} h"))
        if j.case.overloads and j.onset is not None and lead(j, KVWATCH) <= 0:
            rows.append((j.case.name, "no page" if own.lead_seconds is None else f"{-own.lead_seconds:.0f} s late"))
    return _table(("run", "what"), rows) if rows else "None.\n"


def _dropped(cases: Sequence[Judged]) -> str:
    rows = [(j.case.name, f"{j.stable_hours:.1f} h", f"{j.dropped_hours:.1f} h") for j in cases if j.dropped_hours > 0]
    return _table(("run", "counts", "does not"), rows) if rows else "None.\n"


def as_json(cases: Sequence[Judged]) -> list[dict[str, Any]]:
    """Every case with every rule's verdict."""
    return [
        {
            "case": j.case.name,
            "kind": j.case.kind,
            "rise_seconds": j.case.rise_seconds,
            "onset": j.onset,
            "onset_load": j.onset_load,
            "stable_hours": j.stable_hours,
            "dropped_hours": j.dropped_hours,
            "rules": {v.rule: {k: x for k, x in asdict(v).items() if k != "rule"} for v in j.verdicts},
        }
        for j in cases
    ]
