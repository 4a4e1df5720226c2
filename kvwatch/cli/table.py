"""Views as a table in the terminal: one row for each engine of each view."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvwatch.estimate import Reason
from kvwatch.views import EngineView, FleetView

_UNKNOWN = "–"
_ALWAYS = frozenset({Reason.DEPENDS, Reason.DELTA_IS_BOUND})
"""Reasons that say nothing of a row: one follows from others, one is so for every server without a log."""
_WIDTH_OF_A_FILE = 160
_COLUMNS = (
    "time (UTC)",
    "engine",
    "λ req/s",
    "μ req/s",
    "ρ",
    "ρ 90%",
    "stable to",
    "limit",
    "running",
    "waiting",
    "KV",
    "not ok",
)


def print_table(views: Iterable[FleetView], console: Console | None = None) -> None:
    """Print all views when the last one is known, and below them what the words in the last column mean."""
    console = console or Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
    windows: set[str] = set()
    reasons: set[Reason] = set()
    table = Table(*_COLUMNS, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table.columns[:-1]:
        column.no_wrap = True
    for column in table.columns[2:-1]:
        column.justify = "right"
    for view in views:
        for target in view.targets:
            if not target.engines:
                table.add_row(time_of_day(view.at), Text(target.target), *[_UNKNOWN] * 9, Text(target.problem))
            for engine in target.engines:
                table.add_row(time_of_day(view.at), *_cells(engine))
                windows.add(_window(engine))
                reasons.update(_wrong(engine))
    console.print(table)
    if known := " or ".join(sorted(windows - {""})):
        console.print(f"λ and ρ are over {known}, μ is what the engine can sustain.")
    for reason in sorted(reasons):
        console.print(f"{reason}: {reason.words}", style="dim", highlight=False, soft_wrap=True)


def _cells(engine: EngineView) -> list[Text]:
    window = _window(engine)
    low, high = engine.utilization.lower.get(window), engine.utilization.upper.get(window)
    cells = (
        f"{engine.target} {engine.model_name} {engine.engine}",
        _number(engine.arrival_rate.value.get(window)),
        _number(engine.service_rate.value),
        _number(engine.utilization.value.get(window)),
        f"{low:.2f} to {high:.2f}" if low is not None and high is not None else _UNKNOWN,
        _number(engine.stable_limit.value),
        _binding(engine.binding_limit),
        _number(engine.running_requests, 0),
        _number(engine.queue_length, 0),
        _number(engine.kv_usage_ratio),
        " ".join(_wrong(engine)),
    )
    return [Text(cell) for cell in cells]


def _window(engine: EngineView) -> str:
    """The window that a row is about: the shortest that is known."""
    return next(iter(engine.utilization.value), None) or next(iter(engine.arrival_rate.value), "")


def _wrong(engine: EngineView) -> list[Reason]:
    """Why estimates do not stand."""
    codes = {validity.reason for validity in engine.estimate_valid.values() if not validity.valid}
    return sorted(reason for reason in Reason if reason in codes - _ALWAYS)


def _binding(limits: Mapping[str, float]) -> str:
    return next((limit for limit, binds in limits.items() if binds), _UNKNOWN)


def _number(value: float | None, digits: int = 2) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


def time_of_day(at: float) -> str:
    """A time as the rows have it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
