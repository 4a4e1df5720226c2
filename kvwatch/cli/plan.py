"""``kvwatch plan``: how many replicas for a load, of what, set how."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from itertools import islice, pairwise
from random import Random
from statistics import fmean, pstdev

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from kvwatch.cli.common import CommandError
from kvwatch.core.fleet import Fleet
from kvwatch.embedded.latency_curve import SHARES, Slo
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Lognormal
from kvwatch.parse.traces import TracedRequest, TraceError, read_trace
from kvwatch.planning.data_sheets import GPUS, Model, ModelError, sheet_engine
from kvwatch.planning.engine import Basis, Known, PlannedEngine
from kvwatch.planning.html import as_html
from kvwatch.planning.measured import measured_engine
from kvwatch.planning.plan import Plan, Wanted, make_plan
from kvwatch.planning.words import cautions, headline, number, rate, reason, seconds, signed, support
from kvwatch.shell.recordings.replay import Recording, RecordingError, replay
from kvwatch.views import FleetView

_DRAWN = 2000
"""Requests of a distribution or a trace that the engine is run on [requests]. Choice: means are then known to 2%."""
_SEED = 20261202
"""Seed of what is drawn [1]. Choice: any, always the same."""
_PARTS = 25
"""Parts of a plan that progress is told by [1]. Choice: about as many as there are."""
_LEAST_GAPS = 30
"""Times between arrivals from which on their variation is told [1]. Choice: known to a quarter then."""
_MOST_MODEL_BYTES = 1 << 20


def execute(args: argparse.Namespace) -> None:
    """Print the plan."""
    if (args.recording is None) == (args.model is None):
        raise CommandError("give --recording DIR, or --model config.json with --gpu NAME")
    traced = _trace(args)
    engine, rates = _recorded(args, traced) if args.recording is not None else (_sheets(args, traced), ())
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
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
            task = shown.add_task("planning", total=_PARTS)
            plan = make_plan(engine, wanted, lambda: shown.advance(task))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if args.html is not None:
        try:
            args.html.write_text(as_html(plan), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {args.html}: {error.strerror}") from None
    if args.format == "json":
        sys.stdout.buffer.write(orjson.dumps(asdict(plan), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        _print(plan)


def _trace(args: argparse.Namespace) -> list[TracedRequest]:
    if args.trace is None:
        return []
    try:
        with args.trace.open(encoding="utf-8", errors="replace") as lines:
            found, bad = read_trace(lines)
    except OSError as error:
        raise CommandError(f"cannot read {args.trace}: {error.strerror}") from None
    except TraceError as error:
        raise CommandError(f"{args.trace}: {error}") from None
    if bad:
        print(f"{args.trace}: {bad} lines hold no request; left out", file=sys.stderr)
    return found


def _given(args: argparse.Namespace, traced: list[TracedRequest]) -> tuple[tuple[RequestShape, ...], Basis] | None:
    """The traffic of a trace or of a distribution; ``None`` where neither is given."""
    source = Random(_SEED)  # noqa: S311 (reproducible, not secret)
    if traced:
        drawn = source.sample(traced, min(len(traced), _DRAWN))
        pool = tuple(RequestShape(request.prompt_tokens, request.output_tokens) for request in drawn)
        return pool, Basis("traffic", f"{len(traced)} requests of {args.trace.name}", Known.MEASURED)
    if args.prompt_tokens is None and args.output_tokens is None:
        return None
    if args.prompt_tokens is None or args.output_tokens is None:
        raise CommandError("--prompt-tokens and --output-tokens belong together")
    lengths = Lognormal(args.prompt_tokens, args.sigma, args.output_tokens, args.sigma, longest_tokens=1 << 20)
    words = f"medians of {args.prompt_tokens} and {args.output_tokens} tokens, σ {args.sigma:g}"
    return tuple(islice(lengths.shapes(source), _DRAWN)), Basis("traffic", words, Known.GIVEN)


def _recorded(args: argparse.Namespace, traced: list[TracedRequest]) -> tuple[PlannedEngine, tuple[float, ...]]:
    """The engine of a recording, and the rate at which requests came at its end."""
    recording = Recording(args.recording, lambda words: print(f"{args.recording}: {words}", file=sys.stderr))
    fleets: list[Fleet] = []
    last: FleetView | None = None
    try:
        for last in replay(recording, made=fleets.append):  # noqa: B007 (the last one counts)
            pass
    except RecordingError as error:
        raise CommandError(str(error)) from None
    known = fleets[0].full_engines() if fleets else []
    views = [] if last is None else [engine for target in last.targets for engine in target.engines]
    if not known or not views:
        raise CommandError(
            f"{args.recording} shows too little of an engine: record it under its usual load for minutes"
        )
    if len(known) > 1:
        raise CommandError(f"{args.recording} holds {len(known)} engines; record the one that is to be planned")
    _, key, inputs = known[0]
    view = next(view for view in views if (view.model_name, view.engine) == (key.model_name, key.engine))
    try:
        engine = measured_engine(inputs, view)
    except ValueError as error:
        raise CommandError(f"{args.recording}: {error}") from None
    rates = tuple(view.arrival_rate.value.values())[-1:]
    given = _given(args, traced)
    if given is None:
        return engine, rates
    pool, basis = given
    fits = tuple(s for s in pool if s.prompt_tokens + s.output_tokens <= engine.settings.max_model_len)
    if not fits:
        raise CommandError("no request of the traffic fits into this engine")
    others = tuple(b for b in engine.basis if b.what != "traffic")
    return replace(engine, pool=fits, basis=(basis, *others)), rates


def _sheets(args: argparse.Namespace, traced: list[TracedRequest]) -> PlannedEngine:
    if args.gpu not in GPUS:
        raise CommandError(f"--gpu {args.gpu}: known are {', '.join(GPUS)}")
    given = _given(args, traced)
    if given is None:
        raise CommandError("nothing says how long requests are: give --trace, or --prompt-tokens and --output-tokens")
    try:
        with args.model.open("rb") as file:
            config = json.loads(file.read(_MOST_MODEL_BYTES))
        if not isinstance(config, dict):
            raise CommandError(f"{args.model}: not a JSON object")
        model = Model.of(config)
        engine = sheet_engine(
            model,
            args.gpu,
            given[0],
            gpus=args.gpus,
            weight_bytes=args.weight_bytes,
            kv_bytes=args.kv_bytes,
            memory_utilization=args.gpu_memory_utilization,
            max_num_seqs=args.max_num_seqs or 256,
            max_num_batched_tokens=args.max_num_batched_tokens or 8192,
        )
    except OSError as error:
        raise CommandError(f"cannot read {args.model}: {error.strerror}") from None
    except (ValueError, ModelError) as error:
        raise CommandError(f"{args.model}: {error}") from None
    if not engine.pool:
        raise CommandError("no request of the traffic fits into this engine")
    return replace(engine, basis=(given[1], *engine.basis))


def _print(plan: Plan) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
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
            seconds(point.between_seconds[high]),
        )
    console.print()
    console.print(points)
    for title, found in (("To need fewer, set", plan.changes), ("The rate hangs on", plan.sensitivities)):
        if found:
            console.print(f"\n{title}:")
        for change in found:
            console.print(f"  {signed(change.gain_ratio):>5}  {change.words}")
