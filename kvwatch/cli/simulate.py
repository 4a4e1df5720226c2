"""``kvwatch simulate``: an embedded engine that looks like vLLM, live over HTTP or as a recording."""

from __future__ import annotations

import argparse
import asyncio

from kvwatch.cli.common import CommandError
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.emulator.server import EngineServer, ServeOptions, serve
from kvwatch.shell.recordings.recorder import RecordingExistsError

_DEFAULT_SECONDS = 600.0
"""Length of a recording in virtual time, as the help of ``--duration`` says."""
_DEFAULT_INTERVAL_SECONDS = 1.0
"""Between its scrapes, as the help of ``--interval`` says."""
_DEFAULT_PORT = 8000
"""vLLM's own, as the help of ``--port`` says."""


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
