"""Where ``kvwatch plan`` has its engine and its traffic from: a server, a recording, a state file, or data sheets."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

from kvwatch.cli.common import CommandError, target_from_flags
from kvwatch.config import ScrapeConfig, TargetUrl, ValidatedConfig
from kvwatch.core.fleet import Fleet
from kvwatch.core.kept import StateError
from kvwatch.core.options import CoreOptions
from kvwatch.daemon.look import INTERVAL_SECONDS, LookError, watched
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Lognormal
from kvwatch.facts import CacheConfig, EngineKey, EngineSample, Scrape, Settings, SettingSource
from kvwatch.parse.traces import TracedRequest, TraceError, read_trace
from kvwatch.planning.data_sheets import GPUS, Model, ModelError, sheet_engine
from kvwatch.planning.engine import Basis, Known, PlannedEngine
from kvwatch.planning.measured import measured_engine
from kvwatch.shell.logging import setup
from kvwatch.shell.recordings.replay import RecordingError, one_recording, replay
from kvwatch.shell.state.file import StateFile
from kvwatch.views import FleetView

_DRAWN = 2000
"""Requests of a distribution or a trace that the engine is run on [requests]. Choice: means are then known to 2%."""
_SEED = 20261202
"""Seed of what is drawn [1]. Choice: any, always the same."""
_MOST_MODEL_BYTES = 1 << 20

Found = tuple[PlannedEngine, tuple[float, ...]]
"""The engine, and the rate at which requests come to it now, if any."""


def engine_of(args: argparse.Namespace, traced: list[TracedRequest]) -> Found:
    """The engine that the flags name, with the traffic that they name.

    Raises:
        CommandError: none is named, more than one is, or too little is known of it.
    """
    named = [args.recording, args.url, args.state, args.model]
    if sum(one is not None for one in named) != 1:
        raise CommandError(
            "give one of --recording DIR, --url URL, --state FILE, or --model config.json with --gpu NAME"
        )
    if args.model is not None:
        return _sheets(args, traced), ()
    if args.url is not None:
        return _measured(args, traced, args.url.base_url, *_live(args, args.url))
    if args.state is not None:
        return _measured(args, traced, str(args.state), *_kept(args, args.state))
    return _measured(args, traced, str(args.recording), *_replayed(args.recording, args.target))


def trace_of(args: argparse.Namespace) -> list[TracedRequest]:
    """The requests of the trace that the flags name; none where they name none."""
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


def _replayed(folder: Path, server: str | None) -> tuple[Fleet, FleetView | None]:
    """What is known at the end of a recording."""
    fleets: list[Fleet] = []
    last: FleetView | None = None
    try:
        recording = one_recording(folder, lambda words: print(f"{folder}: {words}", file=sys.stderr), server)
        for last in replay(recording, made=fleets.append):  # noqa: B007 (the last one counts)
            pass
    except RecordingError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot read {folder}: {error.strerror}") from None
    return (fleets[0] if fleets else Fleet(CoreOptions())), last


def _live(args: argparse.Namespace, url: TargetUrl) -> tuple[Fleet, FleetView]:
    """What is known of a server after it was watched for a while."""
    setup("error")
    print(f"watching {url.base_url} for {args.watch:.0f} s", file=sys.stderr)
    config = ValidatedConfig(scrape=ScrapeConfig(interval_seconds=INTERVAL_SECONDS))
    try:
        return asyncio.run(watched(target_from_flags(args, url), config, args.watch))
    except LookError as error:
        raise CommandError(f"{url.base_url}: {error}") from None


def _kept(args: argparse.Namespace, path: Path) -> tuple[Fleet, FleetView]:
    """What a kvwatch has kept of an engine: its step law, its mix, its memory; of its settings what it had to infer."""
    try:
        kept = StateFile(path).peek().engines
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
    engines = [
        (target, state)
        for target, states in kept.items()
        for state in states
        if args.target is None or target == args.target
    ]
    names = ", ".join(sorted({target for target, _ in engines}))
    if not engines:
        raise CommandError(f"{path} holds no engine" + (f" of target {args.target}" if args.target else ""))
    if len(engines) > 1:
        raise CommandError(f"{path} holds {len(engines)} engines; name one with --target, of: {names}")
    ((target, state),) = engines
    given = Settings(args.max_num_seqs, args.max_num_batched_tokens, args.max_model_len, source=SettingSource.CONFIG)
    fleet = Fleet(CoreOptions())
    fleet.add(target, given)
    try:
        fleet.restore(target, [state])
    except StateError as error:
        raise CommandError(f"{path}: not a state of this kvwatch: {error}") from None
    tokens = (state.get("kv_capacity") or {}).get("shown")
    spans = (state.get("mix") or {}).get("spans") or []
    if not tokens or not spans:
        raise CommandError(f"{path}: it holds neither a mix of lengths nor the size of the KV cache")
    at = float(spans[-1][0]) + 1.0
    key = EngineKey(state["model_name"], state["engine"])
    cache = CacheConfig(kv_cache_size_tokens=int(tokens))
    fleet.observe(target, Scrape(at, (EngineSample(key, running=0.0, waiting=0.0, cache=cache),)))
    return fleet, fleet.view(at)


def _measured(
    args: argparse.Namespace, traced: list[TracedRequest], source: str, fleet: Fleet, view: FleetView | None
) -> Found:
    """The engine that a fleet knows, with its own traffic or another."""
    known = fleet.full_engines()
    views = [] if view is None else [engine for target in view.targets for engine in target.engines]
    if not known or not views:
        raise CommandError(f"{source} shows too little of an engine: watch it under its usual load for minutes")
    if len(known) > 1:
        raise CommandError(f"{source} holds {len(known)} engines; plan with one of them")
    _, key, inputs = known[0]
    seen = next(view for view in views if (view.model_name, view.engine) == (key.model_name, key.engine))
    try:
        engine = measured_engine(inputs, seen)
    except ValueError as error:
        raise CommandError(f"{source}: {error}") from None
    rates = tuple(seen.arrival_rate.value.values())[-1:]
    given = _given(args, traced)
    if given is None:
        return engine, rates
    pool, basis = given
    return replace(engine, pool=_fitting(pool, engine), basis=(basis, *_without(engine.basis, "traffic"))), rates


def _fitting(pool: Sequence[RequestShape], engine: PlannedEngine) -> tuple[RequestShape, ...]:
    fits = tuple(s for s in pool if s.prompt_tokens + s.output_tokens <= engine.settings.max_model_len)
    if not fits:
        raise CommandError("no request of the traffic fits into this engine")
    return fits


def _without(basis: Sequence[Basis], what: str) -> tuple[Basis, ...]:
    return tuple(one for one in basis if one.what != what)


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
