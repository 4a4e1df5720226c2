"""``kvwatch plan``: how many replicas for a load, of what, set how."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from statistics import fmean, pstdev

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from kvwatch.cli.common import CommandError
from kvwatch.cli.plan_source import engine_of, trace_of
from kvwatch.embedded.latency_curve import SHARES, Slo
from kvwatch.planning.html import as_html
from kvwatch.planning.plan import Plan, Wanted, make_plan
from kvwatch.planning.pools import pools, target_of
from kvwatch.planning.words import cautions, changed, headline, number, rate, reason, seconds, support

_PARTS = 25
"""Parts of a plan that progress is told by [1]. Choice: about as many as there are."""
_LEAST_GAPS = 30
"""Times between arrivals from which on their variation is told [1]. Choice: known to a quarter then."""


def execute(args: argparse.Namespace) -> None:
    """Print the plan."""
    traced = trace_of(args)
    engine, rates = engine_of(args, traced)
    gaps = [after.at - before.at for before, after in pairwise(traced)]
    if traced and sum(gaps) > 0:
        rates = (len(gaps) / sum(gaps),)
    burstiness = args.burstiness or (pstdev(gaps) / fmean(gaps) if len(gaps) >= _LEAST_GAPS and sum(gaps) > 0 else 1.0)
    wanted = Wanted(
        tuple(args.rate) or rates,
        args.target_utilization,
        Slo(args.wait_p95, args.ttft_p95, args.itl_p95),
        min(max(burstiness, 0.1), 10.0),
    )
    if not wanted.rates:
        raise CommandError("nothing says how many requests come: give --rate")
    engines = pools(engine) if args.disaggregated else {"": engine}
    plans: dict[str, Plan] = {}
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
            task = shown.add_task("planning", total=_PARTS * len(engines))
            for role, one in engines.items():
                asked = replace(wanted, slo=target_of(role, wanted.slo)) if role else wanted
                plans[role] = make_plan(one, asked, lambda: shown.advance(task))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if args.html is not None:
        try:
            args.html.write_text(as_html(plans), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {args.html}: {error.strerror}") from None
    if args.format == "json":
        sys.stdout.buffer.write(orjson.dumps(_json(plans), option=orjson.OPT_INDENT_2) + b"\n")
        return
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    for place, (role, plan) in enumerate(plans.items()):
        if role:
            console.print(f"{chr(10) if place else ''}{role.capitalize()} servers", style="bold underline")
        _print(console, plan)


def _json(plans: Mapping[str, Plan]) -> object:
    """The plan as it is, or those of several roles by their names."""
    found = {role: asdict(plan) for role, plan in plans.items()}
    return found.get("", found)


def _print(console: Console, plan: Plan) -> None:
    console.print(headline(plan), style="bold")
    console.print(reason(plan))
    for words in cautions(plan):
        console.print(words, style="yellow")
    console.print("\nIt rests on:")
    for words in support(plan):
        console.print(f"  {words}", markup=False)
    if len(plan.replicas) > 1:
        asked = Table("req/s", "replicas", box=None, pad_edge=False)
        for replicas in plan.replicas:
            asked.add_row(rate(replicas.rate), number(replicas))
        console.print()
        console.print(asked)
    points = Table(
        "load", "req/s", "wait p95", "first token p50", "p95", "between tokens p95", box=None, pad_edge=False
    )
    middle, high = SHARES.index(0.5), SHARES.index(0.95)
    for point in plan.curve:
        points.add_row(
            f"{point.load:.0%}",
            rate(point.load * plan.service_rate),
            seconds(point.wait_seconds[high]),
            seconds(point.first_token_seconds[middle]),
            seconds(point.first_token_seconds[high]),
            seconds(point.between_seconds[high]) if point.between_seconds else "–",
        )
    console.print()
    console.print(points)
    for title, found in (("To need fewer, set", plan.changes), ("The rate hangs on", plan.sensitivities)):
        if found:
            console.print(f"\n{title}:")
        for change in found:
            console.print(f"  {changed(plan, change)}", markup=False)
