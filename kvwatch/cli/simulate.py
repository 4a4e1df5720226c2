"""``kvwatch simulate``: an embedded engine that looks like vLLM, live over HTTP or as a recording."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from kvwatch.cli.common import CommandError, SubParsers, flag
from kvwatch.config.reader import duration, integer, number
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.emulator.server import EngineServer, ServeOptions, serve
from kvwatch.shell.recordings.recorder import RecordingExistsError

_HELP = "run an embedded engine that serves vLLM's metrics"
_DEFAULT_SECONDS, _DEFAULT_INTERVAL_SECONDS = 600.0, 1.0
_DEFAULT_PORT = 8000


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    scenarios = "\n".join(f"  {scenario.name:12} {scenario.summary}" for scenario in SCENARIOS.values())
    parser = commands.add_parser(
        "simulate",
        help=_HELP,
        description=f"{_HELP[0].upper()}{_HELP[1:]}, without a GPU and without vLLM. It models vLLM's scheduler and\n"
        "loads itself as the scenario says. With --output it writes a recording in virtual time and ends.\n\n"
        f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--scenario", choices=tuple(SCENARIOS), default="ramp", help="engine and load (default ramp)")
    parser.add_argument("--seed", type=flag(integer(0, 2**63 - 1)), default=0, metavar="N", help="default 0")
    parser.add_argument("--model-name", default="emulated", metavar="NAME", help="name of the model (default emulated)")
    live = parser.add_argument_group("live, in wall-clock time")
    live.add_argument("--host", default="127.0.0.1", help="address to serve on (default 127.0.0.1)")
    live.add_argument("--port", type=flag(integer(0, 65535)), help="port to serve on, 0 for a free one (default 8000)")
    live.add_argument(
        "--speed",
        type=flag(number(0.01, 100.0)),
        metavar="FACTOR",
        help="hardware and load this many times faster (default 1)",
    )
    live.add_argument("--request-log", type=Path, metavar="FILE", help="append a JSON line for each request that ends")
    live.add_argument(
        "--no-load", action="store_true", help="only what is sent to /v1/completions, not the scenario's load"
    )
    virtual = parser.add_argument_group("as a recording, in virtual time")
    virtual.add_argument("--output", type=Path, metavar="DIR", help="folder to write a recording to")
    virtual.add_argument("--duration", type=flag(duration(1.0, 1e6)), help='its length (default "10m")')
    virtual.add_argument("--interval", type=flag(duration(0.1, 60.0)), help='time between its scrapes (default "1s")')
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Serve until a signal, or write a recording."""
    _check(args)
    if args.output is not None:
        _record(args)
        return
    options = ServeOptions(
        scenario=SCENARIOS[args.scenario],
        host=args.host,
        port=_DEFAULT_PORT if args.port is None else args.port,
        seed=args.seed,
        speed=args.speed or 1.0,
        model_name=args.model_name,
        request_log=args.request_log,
        traffic=not args.no_load,
    )

    def started(server: EngineServer) -> None:
        print(f"{args.scenario} on http://{args.host}:{server.port}", flush=True)

    try:
        asyncio.run(serve(options, started=started))
    except OSError as error:
        raise CommandError(f"cannot serve: {error.strerror or error}") from None


def _check(args: argparse.Namespace) -> None:
    """Refuse flags of the other mode, which would do nothing."""
    live = {"--port": args.port, "--speed": args.speed, "--request-log": args.request_log, "--no-load": args.no_load}
    virtual = {"--duration": args.duration, "--interval": args.interval}
    for flag_name, value in (live if args.output is not None else virtual).items():
        if value is not None and value is not False:
            wanted = "without --output" if args.output is not None else "together with --output"
            raise CommandError(f"{flag_name} works only {wanted}")


def _record(args: argparse.Namespace) -> None:
    try:
        done = record_virtual(
            SCENARIOS[args.scenario],
            args.output,
            seconds=args.duration or _DEFAULT_SECONDS,
            scrape_interval_seconds=args.interval or _DEFAULT_INTERVAL_SECONDS,
            seed=args.seed,
            model_name=args.model_name,
        )
    except RecordingExistsError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot write to {args.output}: {error.strerror or error}") from None
    print(f"{args.output}: {done.scrapes} scrapes, {done.requests} requests, μ {done.service_rate:.3g} requests/s")
