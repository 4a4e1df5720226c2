"""The demo in the terminal: a table that lives, and the story below it; or plain lines for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from kvwatch.core.engine_state import EngineState
from kvwatch.export.narration import Line
from kvwatch.export.state_words import STATE_NAMES
from kvwatch.export.words import LIMIT_WORDS, Load, clock, rate, service_rate, spell
from kvwatch.views import EngineView

_UNKNOWN = "–"
_BAR_CELLS = 28
_NARROW = (90, 22)
"""Below so many columns of the terminal the bar has so many cells."""
_BAR_END = 1.4
"""ρ at the right end of the bar."""
_STYLES = {
    "estimate": "bold",
    "approaching": "bold yellow",
    "saturated": "bold red",
    "overloaded": "bold red",
    "waiting": "magenta",
    "growing": "magenta",
    "alert": "bold magenta",
    "observed": "cyan",
    "recovered": "bold green",
    "late": "bold yellow",
}
_COLORS = {
    EngineState.IDLE: "green",
    EngineState.FINE: "green",
    EngineState.WARMING_UP: "dim",
    EngineState.UNKNOWN: "dim",
    EngineState.DRAINING: "cyan",
    EngineState.STANDING: "yellow",
    EngineState.APPROACHING: "yellow",
}
"""Colours of the states; the others are red."""
Engines = Mapping[str, EngineView | None]
"""The newest view of each engine by its name; None while there is none."""


class Screen(Protocol):
    """Where the demo shows itself; a context manager, for a terminal must be left as it was."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the terminal as it was."""
        ...

    def begin(self, header: Sequence[str]) -> None:
        """Say what runs and where to look."""
        ...

    def show(self, elapsed_seconds: float, engines: Engines, lines: Sequence[Line]) -> None:
        """Show the state, and lines that are new."""
        ...


class PlainScreen:
    """A line of text for each sentence."""

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def begin(self, header: Sequence[str]) -> None:
        """Print the header."""
        print(*header, "", sep="\n", flush=True)

    def show(self, elapsed_seconds: float, engines: Engines, lines: Sequence[Line]) -> None:
        """Print the new lines; the state is on /metrics."""
        for line in lines:
            print(line, flush=True)


class LiveScreen:
    """A table drawn again and again in place, and as much of the story as fits below it.

    It is drawn on the terminal's other screen, as editors are: when the terminal is resized nothing of an older frame
    is left. At the end that screen goes; the header and the whole story stay.
    """

    def __init__(self, duration_seconds: float, console: Console | None = None) -> None:
        self._console = console or Console()
        self._duration = duration_seconds
        self._live = Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop")
        self._header: list[Text] = []
        self._story: list[Line] = []

    def __enter__(self) -> Self:
        """Take the terminal; what others write to standard error appears above the table."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back, with the whole story on it."""
        self._live.stop()
        self._console.print(*self._header, "", story(self._story), sep="\n")

    def begin(self, header: Sequence[str]) -> None:
        """Keep the header; its first line, where to look, stays above the table."""
        self._header = [Text(line) for line in header]
        self._live.start()

    def show(self, elapsed_seconds: float, engines: Engines, lines: Sequence[Line]) -> None:
        """Draw the table and the story anew."""
        self._story += lines
        width, height = self._console.size
        upper = Group(
            *self._header[:1],
            Rule(f"[bold]kvwatch demo[/]  {clock(elapsed_seconds)} of {clock(self._duration)}", style="dim"),
            table(engines, width),
            Rule(style="dim"),
        )
        room = height - len(self._console.render_lines(upper)) - 3
        lower = story(_last_that_fit(self._story, room, width))
        # the cursor rests on an empty row: a terminal that echoes ^C would else wrap a full one and shift the frame
        self._live.update(Group(upper, lower, ""), refresh=True)


def make_screen(duration_seconds: float, *, plain: bool) -> Screen:
    """The live screen where standard output is a terminal that can draw, else plain lines."""
    console = Console()
    if plain or not sys.stdout.isatty() or console.is_dumb_terminal:
        return PlainScreen()
    return LiveScreen(duration_seconds, console)


def table(engines: Engines, width: int) -> Table:
    """One column for each engine, one row for each quantity, in a terminal of ``width`` columns."""
    cells = _BAR_CELLS if width >= _NARROW[0] else _NARROW[1]
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=True, header_style="bold")
    grid.add_column("model", no_wrap=True, style="dim")
    for name in engines:
        grid.add_column(name, no_wrap=True, min_width=cells, max_width=cells + 10, overflow="ellipsis")
    columns = [_cells(view, cells) for view in engines.values()]
    for number, label in enumerate(_LABELS):
        grid.add_row(label, *(column[number] for column in columns))
    return grid


_LABELS = (
    "state",
    "arrivals λ",
    "can sustain μ",
    "utilization ρ = λ/μ",
    "  █ sure ▒ likely │ limit",
    "stable up to ρ = 1−δ",
    "limited by",
    "running / waiting",
    "KV cache used",
    "step now → at full load",
    "time to saturation",
)


def _cells(view: EngineView | None, bar_cells: int) -> list[RenderableType]:
    """The column of one engine, a cell for each label."""
    if view is None:
        return [_UNKNOWN] * len(_LABELS)
    load = Load.of(view)
    arrivals = next(iter(view.arrival_rate.value.values()), None)
    limit = next((name for name, binds in view.binding_limit.items() if binds), None)
    seconds = view.time_to_saturation_seconds
    mu, stable = view.service_rate, view.stable_limit.value
    why = f" {mu.verdict.words}" if mu.verdict is not None and mu.value is None else ""
    return [
        Text(STATE_NAMES[state_of(view)], style=f"bold {_severity(view)}"),
        f"{rate(arrivals)}/s" if arrivals is not None else _UNKNOWN,
        Text(service_rate(view) if mu.value is not None else f"{_UNKNOWN}{why}", style="bold"),
        Text(str(load), style=_severity(view)) if load is not None else _UNKNOWN,
        bar(load, view, bar_cells),
        f"{stable:.2f}" if stable is not None else _UNKNOWN,
        LIMIT_WORDS.get(limit, limit) if limit is not None else _UNKNOWN,
        f"{_count(view.running_requests)} / {_count(view.queue_length)}",
        f"{view.kv_usage_ratio:.0%}" if view.kv_usage_ratio is not None else _UNKNOWN,
        f"{_milliseconds(view, 'trimmed_mean')} → {_milliseconds(view, 'saturated')} ms",
        _UNKNOWN if seconds is None else "now" if seconds == 0 else f"about {spell(seconds)}",
    ]


def bar(load: Load | None, view: EngineView, cells: int) -> Text:
    """ρ from 0 to 1.4: solid up to the lower end of its interval, shaded to the upper, a mark at the stable limit."""
    text = Text()
    style = _severity(view) if load is not None else "dim"
    mark = view.stable_limit.value if view.stable_limit.value is not None else 1.0
    for cell in range(cells):
        begin, end = (_BAR_END * edge / cells for edge in (cell, cell + 1))
        middle = (begin + end) / 2
        if begin <= mark < end:
            text.append("│", "bold")
        elif load is not None and middle <= load.lower:
            text.append("█", style)
        elif load is not None and middle <= load.upper:
            text.append("▒", style)
        else:
            text.append("·", "dim")
    return text


def state_of(view: EngineView) -> EngineState:
    """The engine's state, as every other place shows it."""
    return next((EngineState(state) for state, value in view.engine_state.items() if value), EngineState.UNKNOWN)


def _severity(view: EngineView) -> str:
    """The colour of its state."""
    return _COLORS.get(state_of(view), "red")


def story(lines: Sequence[Line]) -> Table:
    """Sentences with their times, wrapped beside them."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", style="dim")
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(clock(line.at), line.name, Text(line.text, _STYLES.get(line.kind, "")))
    return grid


def _last_that_fit(lines: Sequence[Line], rows: int, width: int) -> list[Line]:
    """As many of the last lines as ``rows`` rows of the terminal hold."""
    kept: list[Line] = []
    for line in reversed(lines):
        beside = max(width - len(clock(line.at)) - len(line.name) - 2, 20)
        rows -= -(-(len(line.text) + 8) // beside)  # a word that does not fit leaves some of its row empty
        if rows < 0 and kept:
            break
        kept.append(line)
    return kept[::-1]


def _count(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0f}"


def _milliseconds(view: EngineView, statistic: str) -> str:
    seconds = view.step_seconds.value.get(statistic)
    return _UNKNOWN if seconds is None else f"{1000 * seconds:.0f}"
