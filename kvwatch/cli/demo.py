"""``kvwatch demo``: two embedded engines, one ramping into overload, watched by the real daemon."""

from __future__ import annotations

import argparse
import asyncio
import errno
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from kvwatch.cli.common import CommandError
from kvwatch.cli.demo_screen import Screen, make_screen
from kvwatch.cli.flags.demo import DEFAULT_PORT, HOST, LENGTH_SECONDS
from kvwatch.config import EstimatesConfig, ScrapeConfig, ServerConfig, TargetConfig, ValidatedConfig
from kvwatch.daemon import Daemon
from kvwatch.daemon.signals import stop_on_signal
from kvwatch.embedded.scenarios import DEMO
from kvwatch.export.narration import Line, Narrator, Pace
from kvwatch.export.thresholds import usual_alerts
from kvwatch.export.words import clock
from kvwatch.shell.emulator.server import EngineServer, ServeOptions
from kvwatch.shell.logging import setup
from kvwatch.shell.tasks import sleep
from kvwatch.views import EngineView

_WINDOWS_SECONDS = (30.0, 120.0)
"""λ's windows: shorter than a daemon's, as a ramp of minutes needs them."""
_SHORTEST_INTERVAL_SECONDS = 0.2
_LATE_SECONDS = 1.0
"""Engines that are so far behind the clock are late [s]. Choice: ten times what their own pauses come to."""


def execute(args: argparse.Namespace) -> None:
    """Run until the end of the story, or a signal."""
    seconds = args.duration if args.duration is not None else LENGTH_SECONDS / args.speed
    screen = make_screen(seconds, plain=args.plain)
    try:
        summary = asyncio.run(_demo(args, seconds, screen))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" on {args.listen[0] or HOST}:{args.listen[1]}" if args.listen is not None else ""
        raise CommandError(f"cannot serve{where}: {error.strerror or error}") from None
    print("", *summary, sep="\n", flush=True)


async def _demo(args: argparse.Namespace, seconds: float, screen: Screen) -> list[str]:
    """Run everything; returns the summary."""
    stop = stop_on_signal()
    async with AsyncExitStack() as stack:
        ports, servers = {}, []
        for place, (name, scenario) in enumerate(DEMO.items()):
            options = ServeOptions(scenario, HOST, 0, seed=args.seed + place, speed=args.speed, model_name=name)
            servers.append(await stack.enter_async_context(EngineServer(options)))
            ports[name] = servers[-1].port
        with screen:
            setup("warning")
            daemon, task, address = await _start(demo_config(ports, args.speed, args.listen), args.listen is None, stop)
            try:
                screen.begin(_header(address, ports, args))
                asyncio.get_running_loop().call_later(seconds, stop.set)
                summary = await _tell(daemon, stop, screen, args.speed, servers)
                return [*summary, *_yours(address)]
            finally:
                stop.set()
                await task


def demo_config(ports: Mapping[str, int], speed: float, listen: tuple[str, int] | None = None) -> ValidatedConfig:
    """The daemon's configuration for engines on these ports."""
    host, port = listen or (HOST, DEFAULT_PORT)
    windows = [seconds / speed for seconds in _WINDOWS_SECONDS]
    return ValidatedConfig(
        server=ServerConfig(host, port),
        scrape=ScrapeConfig(interval_seconds=max(1 / max(speed, 1.0), _SHORTEST_INTERVAL_SECONDS)),
        estimates=EstimatesConfig(
            windows_seconds={f"{seconds:g}s": seconds for seconds in windows},
            scale_up_seconds=_WINDOWS_SECONDS[-1] / speed,
        ),
        targets=tuple(TargetConfig(f"{HOST}:{port}", f"http://{HOST}:{port}") for port in ports.values()),
    )


async def _start(
    config: ValidatedConfig, may_move: bool, stop: asyncio.Event
) -> tuple[Daemon, asyncio.Task[None], tuple[str, int]]:
    """Start a daemon, on a free port where its own is taken and it may move; returns where it listens.

    Raises:
        OSError: the address cannot be had.
    """
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    daemon = Daemon(lambda: config)
    task = asyncio.create_task(daemon.run(stop, started.set_result))
    either: list[asyncio.Future[Any]] = [task, started]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        return daemon, task, (config.server.host or HOST, started.result())
    try:
        await task
    except OSError as error:
        if not may_move or error.errno != errno.EADDRINUSE:
            raise
    return await _start(replace(config, server=replace(config.server, port=0)), False, stop)


async def _tell(
    daemon: Daemon, stop: asyncio.Event, screen: Screen, speed: float, servers: Sequence[EngineServer]
) -> list[str]:
    """Tell the story while it happens; returns the summary."""
    latest = 0.0
    pace = Pace(3.0 / speed, _WINDOWS_SECONDS[-1] / speed, usual_alerts(speed))
    narrators = {name: Narrator(name, pace) for name in DEMO}
    began, elapsed = daemon.view().at, 0.0
    while not stop.is_set():
        view = daemon.view()
        elapsed = view.at - began
        engines: dict[str, EngineView | None] = dict.fromkeys(DEMO)
        engines |= {engine.model_name: engine for target in view.targets for engine in target.engines}
        lines: list[Line] = []
        for name, engine in engines.items():
            if engine is not None:
                lines += narrators[name].observe(elapsed, engine)
        behind = max(server.behind_seconds for server in servers)
        if behind > _LATE_SECONDS >= latest:
            lines.append(Line(elapsed, "demo", "late", _late(behind)))
        latest = max(latest, behind)
        screen.show(elapsed, engines, lines)
        await sleep(daemon.config.scrape.interval_seconds, stop)
    summary = [f"What happened in {clock(elapsed)}, as measured:"]
    for name, narrator in narrators.items():
        summary += [f"  {name}", *(f"    {sentence}" for sentence in narrator.summary())]
    return [*summary, *([f"  {_late(latest)}"] if latest > _LATE_SECONDS else [])]


def _late(seconds: float) -> str:
    return (
        f"this machine cannot keep time: the engines were {seconds:.0f} s behind the clock, and rates are shown as"
        " they were then; a smaller --speed needs less of the machine"
    )


def _yours(address: tuple[str, int]) -> list[str]:
    """What to do next."""
    return [
        "",
        "Now yours:",
        "  kvwatch run --target http://localhost:8000",
        f"  and look at http://localhost:{DEFAULT_PORT}/ (the page was at {_base(address)}/ here)",
        "  or, without leaving anything behind: kvwatch status http://localhost:8000",
    ]


def _header(address: tuple[str, int], ports: Mapping[str, int], args: argparse.Namespace) -> list[str]:
    """What runs and where to look."""
    base, port = _base(address), address[1]
    taken = f" (port {DEFAULT_PORT} is taken)" if args.listen is None and port != DEFAULT_PORT else ""
    windows = " and ".join(f"{seconds / args.speed:g} s" for seconds in _WINDOWS_SECONDS)
    return [
        f"Open {base}/ and watch it there{taken}.",
        "",
        "Two embedded engines that look like vLLM, and kvwatch, which knows them by their /metrics alone:",
        "",
        f"  kvwatch   {base}/metrics",
        f"            {base}/api/v1/engines",
        *(f"  {name:8}  http://{HOST}:{number}/metrics   {DEMO[name].summary}" for name, number in ports.items()),
        "",
        f"λ is counted over windows of {windows}. The first estimates take about {30 / args.speed:g} s.",
    ]


def _base(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
