"""``kvwatch status``: a line for each engine, from a running kvwatch or straight from a vLLM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kvwatch.cli.common import EXIT_OK, CommandError, target_from_flags
from kvwatch.cli.flags.status import DEFAULT_URL
from kvwatch.config import ScrapeConfig, TargetConfig, ValidatedConfig, parse_target_url
from kvwatch.core.engine_state import EngineState
from kvwatch.daemon.look import INTERVAL_SECONDS, LookError, documents
from kvwatch.export.state_words import STATE_NAMES
from kvwatch.export.status_line import status_line
from kvwatch.export.summary import Summary, summarize
from kvwatch.shell.logging import setup

EXIT_CODES: Mapping[EngineState, int] = {
    EngineState.IDLE: 0,
    EngineState.FINE: 0,
    EngineState.WARMING_UP: 0,
    EngineState.DRAINING: 0,
    EngineState.APPROACHING: 3,
    EngineState.STANDING: 3,
    EngineState.SATURATED: 4,
    EngineState.EVICTING: 4,
    EngineState.OVERLOADED: 4,
    EngineState.HUNG: 5,
    EngineState.UNKNOWN: 6,
}
EXIT_SILENT = 5
"""A server that does not answer."""
_URGENT_CODES = (0, 6, 3, 4, 5)
"""Exit codes from the one that can wait to the most urgent."""
_STYLES = {0: "green", 3: "bold yellow", 4: "bold red", 5: "bold red", 6: "dim"}
_WIDTH_OF_A_FILE = 400
"""Columns where the output is no terminal, so that a line stays one [1]. Choice: longer than any line."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen at all addresses at one moment: engines, the most urgent first, and who does not answer."""

    engines: tuple[Summary, ...]
    silent: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Look:
        """A look at the documents of some ``/api/v1/engines``."""
        engines: list[Summary] = []
        silent: list[tuple[str, str]] = []
        for document in documents:
            models = {(m["model_name"], m.get("role", "")): m for m in document.get("models", ())}
            roles = {t["target"]: t.get("role", "") for t in document.get("targets", ())}
            found = [
                summarize(e, models.get((e["model_name"], roles.get(e["target"], "")))) for e in document["engines"]
            ]
            engines += found
            seen = {summary.target for summary in found}
            down = (t for t in document.get("targets", ()) if not t.get("up", True) and t["target"] not in seen)
            silent += [(t["target"], t.get("problem", "it has not been read yet")) for t in down]
        return cls(tuple(sorted(engines, key=lambda summary: summary.closeness, reverse=True)), tuple(silent))

    @property
    def exit_code(self) -> int:
        """The most urgent of all engines."""
        codes = [EXIT_CODES[summary.state] for summary in self.engines] + [EXIT_SILENT] * bool(self.silent)
        return max(codes, key=_URGENT_CODES.index, default=EXIT_OK)

    def json(self) -> bytes:
        """The look as an object on a line; what is unknown is left out."""
        engines = [
            {name: value for name, value in asdict(summary).items() if value not in (None, ())}
            | {"line": status_line(summary)}
            for summary in self.engines
        ]
        silent = [{"target": target, "problem": problem} for target, problem in self.silent]
        return orjson.dumps({"exit_code": self.exit_code, "engines": engines, "silent": silent})


def execute(args: argparse.Namespace) -> int:
    """Say how the engines are; returns the exit code."""
    setup("error")
    urls = args.urls or [parse_target_url(DEFAULT_URL)]
    targets = [target_from_flags(args, url) for url in urls]
    return asyncio.run(_say(args, targets))


async def _say(args: argparse.Namespace, targets: list[TargetConfig]) -> int:
    config = ValidatedConfig(scrape=ScrapeConfig(interval_seconds=INTERVAL_SECONDS))
    if args.timeout is not None:
        config = ValidatedConfig(scrape=ScrapeConfig(interval_seconds=INTERVAL_SECONDS, timeout_seconds=args.timeout))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    live = Live(console=console, auto_refresh=False) if args.watch and not args.json and console.is_terminal else None
    code = EXIT_OK
    sources = [documents(target, config, args.duration) for target in targets]
    try:
        with live or nullcontext():
            while True:
                with _waiting(console, wanted=live is None and not args.json):
                    seen = await asyncio.gather(
                        *(_next(source, target) for source, target in zip(sources, targets, strict=True))
                    )
                look = Look.of(seen)
                code = look.exit_code
                if args.json:
                    print(look.json().decode(), flush=True)
                elif live is not None:
                    live.update(table(look), refresh=True)
                else:
                    console.print(table(look))
                if not args.watch:
                    return code
    finally:
        for source in sources:
            await source.aclose()


def _waiting(console: Console, *, wanted: bool) -> AbstractContextManager[object]:
    """A sign of life for the seconds in which a vLLM is watched; nothing where nobody looks."""
    return console.status("looking") if wanted and console.is_terminal else nullcontext()


async def _next(source: AsyncGenerator[dict[str, Any], None], target: TargetConfig) -> dict[str, Any]:
    try:
        return await anext(source)
    except LookError as error:
        raise CommandError(f"{target.base_url}: {error}") from None


def table(look: Look) -> RenderableType:
    """The look in columns: the state, the engine, and its line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    for _ in range(3):
        grid.add_column(overflow="fold")
    for summary in look.engines:
        style = _STYLES[EXIT_CODES[summary.state]]
        name = summary.model_name if summary.engine == "0" else f"{summary.model_name}/{summary.engine}"
        grid.add_row(
            Text(STATE_NAMES[summary.state], style), Text(name), Text(summary.target, "dim"), status_line(summary)
        )
    for target, problem in look.silent:
        grid.add_row(Text("No answer", _STYLES[EXIT_SILENT]), "", Text(target, "dim"), Text(problem))
    if not look.engines and not look.silent:
        grid.add_row(Text("No engine has been read yet", "dim"))
    return grid
