"""The demo: its story over whole runs in virtual time, and the real process, shortened."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
from rich.console import Console

from kvwatch.cli import main
from kvwatch.cli.demo import demo_config
from kvwatch.cli.demo_screen import LiveScreen, table
from kvwatch.core.engine_state import EngineState
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.scenarios import DEMO, SCENARIOS, Scenario
from kvwatch.export.narration import Line, Narrator, Pace
from kvwatch.export.state_words import STATE_NAMES
from kvwatch.export.thresholds import usual_alerts
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.emulator.server import EngineServer
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.views import EngineView

DEMO_OPTIONS = CoreOptions(windows_seconds=demo_config({}, 1.0).estimates.windows_seconds)
TROUBLE = {"approaching", "saturated", "overloaded", "growing", "alert"}
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """A run and its story."""

    views: list[tuple[float, EngineView]]
    lines: list[Line]
    narrator: Narrator

    def at(self, kind: str) -> float:
        """When the first line of a kind came."""
        return next(line.at for line in self.lines if line.kind == kind)


def tell(scenario: Scenario, folder: Path, seconds: float, options: CoreOptions, seed: int = 0) -> Told:
    """Run a scenario in virtual time and narrate what kvwatch sees of it."""
    record_virtual(scenario, folder, seconds=seconds, seed=seed)
    narrator = Narrator(scenario.name)
    views = []
    lines = []
    for fleet in replay(Recording(folder, print), options):
        for engine in fleet.targets[0].engines:
            views.append((fleet.at - 1_750_000_000.0, engine))
            lines += narrator.observe(*views[-1])
    return Told(views, lines, narrator)


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One whole round of the demo's ramp."""
    return tell(DEMO["ramp"], tmp_path_factory.mktemp("demo") / "ramp", 360, DEMO_OPTIONS)


@pytest.mark.long
def test_at_four_times_the_speed_the_same_story_takes_ninety_seconds(tmp_path: Path, ramp: Told) -> None:
    """Windows, waiting times and the load are as much faster; each line of the story comes, in its order."""
    options = CoreOptions(windows_seconds=demo_config({}, 4.0).estimates.windows_seconds, scrape_interval_seconds=0.25)
    scenario = DEMO["ramp"].sped_up(4.0)
    record_virtual(scenario, tmp_path / "ramp", seconds=90, scrape_interval_seconds=0.25)
    narrator = Narrator("ramp", Pace(3.0 / 4, 120.0 / 4, usual_alerts(4.0)))
    kinds = []
    for fleet in replay(Recording(tmp_path / "ramp", print), options):
        for engine in fleet.targets[0].engines:
            kinds += [line.kind for line in narrator.observe(fleet.at - 1_750_000_000.0, engine)]
    order = ["estimate", "approaching", "waiting", "overloaded", "alert", "recovered"]
    assert [kind for kind in kinds if kind in order] == [line.kind for line in ramp.lines if line.kind in order]


def test_the_ramp_tells_the_whole_story(ramp: Told) -> None:
    """From the first estimate over the warning, the queue and the alert to the recovery, each once but the levels."""
    kinds = [line.kind for line in ramp.lines]
    once = [kind for kind in kinds if kind != "level"]
    assert sorted(once) == sorted(
        {
            *("estimate", "plain", "approaching", "waiting", "saturated", "overloaded"),
            *("growing", "observed", "alert", "draining", "recovered"),
        }
    )
    assert kinds.count("level") == 2
    order = ["estimate", "approaching", "waiting", "overloaded", "alert", "recovered"]
    assert [kind for kind in kinds if kind in order] == order


def test_kvwatch_speaks_before_anybody_waits(ramp: Told) -> None:
    """The warning comes before the first view with a waiting request, and long before the alert on the queue."""
    first_wait = next(at for at, view in ramp.views if view.queue_length)
    assert ramp.at("waiting") == first_wait
    assert ramp.narrator.warned_at is not None
    assert ramp.narrator.warned_at < first_wait < ramp.at("alert")
    alert = ramp.narrator.alerts[0]
    over_ten = [at for at, view in ramp.views if (view.queue_length or 0) > 10]
    assert alert.fired_at is not None
    assert alert.fired_at - 60 in over_ten


def test_the_prediction_is_what_the_engine_then_serves(ramp: Told) -> None:
    """μ before the queue is within 15% of what the overloaded engine serves, where the plain formula was far off."""
    served, first = ramp.narrator.served, ramp.narrator.estimated
    assert served is not None
    assert first is not None
    assert ramp.narrator.predicted is not None
    assert ramp.narrator.predicted.service_rate.value == pytest.approx(served, rel=0.15)
    assert first.service_rate_plain is not None
    assert first.service_rate_plain > 2 * served


@pytest.mark.parametrize(
    ("options", "seed"), [(CoreOptions(), 0), (DEMO_OPTIONS, 1)], ids=["usual windows", "short windows"]
)
def test_a_steady_engine_gives_no_alarm(tmp_path: Path, options: CoreOptions, seed: int) -> None:
    """Over five minutes at 0.6 of capacity nothing approaches, and the estimate is told."""
    told = tell(SCENARIOS["steady"], tmp_path / "steady", 300, options, seed)
    kinds = {line.kind for line in told.lines}
    assert "estimate" in kinds
    assert not kinds & TROUBLE
    assert "kvwatch: no saturation ahead" in told.narrator.summary()[1]


def test_the_table_says_the_state_that_is_exported(ramp: Told) -> None:
    """In the same word as the page: nothing of its own is judged here."""
    states = set()
    for _, view in ramp.views[::50]:
        (state,) = (name for name, value in view.engine_state.items() if value)
        console = Console(file=io.StringIO(), width=100, record=True)
        console.print(table({"ramp": view}, 100))
        assert STATE_NAMES[EngineState(state)] in console.export_text().splitlines()[1]
        states.add(state)
    assert len(states) > 2


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_fits_a_terminal(ramp: Told, width: int) -> None:
    """No row is cut or wrapped, whatever is known, at the usual widths."""
    for at, view in (ramp.views[0], ramp.views[100], ramp.views[250]):
        console = Console(file=io.StringIO(), width=width, record=True)
        console.print(table({"steady": None, "ramp": view}, width))
        rows = console.export_text().splitlines()
        assert len(rows) == 12, (at, rows)
        if view.service_rate.value is not None:
            assert "…" not in "".join(rows)
            assert f"{view.queue_length:.0f}" in rows[8]


def test_the_live_screen_leaves_the_whole_story(ramp: Told) -> None:
    """A low terminal shows the last lines only; at the end every line is there, and the table is gone."""
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=True, record=True)
    with LiveScreen(360.0, console) as screen:
        screen.begin(["header"])
        console.export_text()
        screen.show(300.0, {"ramp": ramp.views[300][1]}, ramp.lines)
        frame = console.export_text()
    left = " ".join(console.export_text().split())
    assert "can sustain μ" in frame
    assert ramp.lines[-1].text.split(";")[0] in " ".join(frame.split())
    assert ramp.lines[0].text not in " ".join(frame.split())
    assert "..." not in frame, "the frame is higher than the terminal"
    for line in ramp.lines:
        assert line.text in left


def test_the_live_screen_is_the_terminals_other_one(ramp: Told) -> None:
    """A resize leaves nothing of an older frame there, and at the end the terminal is as it was."""
    file = io.StringIO()
    with LiveScreen(360.0, Console(file=file, width=100, height=20, force_terminal=True)) as screen:
        screen.begin(["Open http://127.0.0.1:9718/"])
        screen.show(300.0, {"ramp": ramp.views[300][1]}, ramp.lines)
        assert "\x1b[?1049h" in file.getvalue()
        assert "\x1b[?1049l" not in file.getvalue()
        assert "Open http://127.0.0.1:9718/" in file.getvalue()
    after = file.getvalue().partition("\x1b[?1049l")[2]
    assert "Open http://127.0.0.1:9718/" in after


def test_a_machine_that_cannot_keep_time_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once when it happens, and in the summary."""
    monkeypatch.setattr(EngineServer, "behind_seconds", 7.0)
    assert main(["demo", "--plain", "--duration", "2s", "--listen", "127.0.0.1:0"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("this machine cannot keep time: the engines were 7 s behind the clock") == 2


class Demo:
    """``kvwatch demo`` as a process; its output is read by a thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def until(self, pattern: str) -> re.Match[str]:
        """The first line that matches, once it is there."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._more:
            self._more.wait_for(lambda: found() or self._ended, PATIENCE_SECONDS)
            match = found()
        assert match is not None, f"no line with {pattern} in {self.lines}"
        return match

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def demo(*arguments: str) -> Iterator[Demo]:
    """The demo on a free port, ten times faster."""
    command = [sys.executable, "-m", "kvwatch", "demo", "--speed", "10", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        running = Demo(process)
        try:
            yield running
        finally:
            process.kill()
            running.reader.join()


@pytest.mark.long
def test_the_real_demo_serves_and_tells(tmp_path: Path) -> None:
    """Header, ports that answer, lines as they happen, and a summary when Ctrl-C ends it, with exit code 0."""
    with demo() as running:
        page = running.until(r"http://\S+/")[0]
        assert page in running.lines[0], "where to look comes first"
        assert '<script type="module"' in _get(page)
        base = running.until(r"kvwatch +(http://\S+)/metrics")[1]
        engines = {name: running.until(rf"{name} +(http://\S+)/metrics")[1] for name in DEMO}
        for name, url in engines.items():
            assert f'vllm:num_requests_running{{engine="0",model_name="{name}"}}' in _get(f"{url}/metrics")
        for name in DEMO:
            running.until(rf"\d:\d\d  {name}: sustains [\d.]+ requests/s \([\d.]+–[\d.]+\)")
        assert 'kvwatch_service_rate{engine="0",model_name="ramp"' in _get(f"{base}/metrics")
        answer = json.loads(_get(f"{base}/api/v1/engines"))
        assert [engine["model_name"] for engine in answer["engines"]] == ["steady", "ramp"]
        assert all(target["up"] for target in answer["targets"])
        running.until(r"\d:\d\d  ramp: utilization ρ is above 0\.5 for sure")
        assert running.end(signal.SIGINT) == 0
        running.until("What happened in .* as measured:")
        running.until(r"first estimate, \d:\d\d at \d+% load: ")
        running.until("^Now yours:")
        running.until(r"kvwatch run --target")
    assert not [line for line in running.lines if "Traceback" in line or "error" in line.lower()]
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_the_demo_with_a_summary() -> None:
    """SIGTERM is an end like any other."""
    with demo() as running:
        running.until("windows of")
        assert running.end(signal.SIGTERM) == 0
        running.until("What happened")


def test_a_taken_port_that_was_asked_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """--listen with a port that is in use: exit code 1 and the address in the message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--plain", "--listen", f"127.0.0.1:{port}"]) == 1
    assert f"cannot serve on 127.0.0.1:{port}: " in capsys.readouterr().err


def test_a_taken_port_that_was_not_asked_for_is_replaced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --listen the demo moves to a free port and says so; after --duration it ends with what it knows."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("kvwatch.cli.demo.DEFAULT_PORT", port)
        assert main(["demo", "--plain", "--duration", "1s"]) == 0
    printed = capsys.readouterr().out
    assert f"(port {port} is taken)" in printed
    assert printed.count("too short for an estimate") == 2


def _get(url: str) -> str:
    with urlopen(url, timeout=PATIENCE_SECONDS) as response:
        return response.read().decode()
