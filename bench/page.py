"""What a viewer of the live page costs: the CPU of a daemon that watches 200 engines, without and with one.

    python -m bench.page

The engines are those of the scale bench. The times without and with a viewer alternate, so that other work on the
machine falls on both; CPU time is the daemon's own. The difference of the two is small beside what either of them
wanders by, so the page's own part is measured by itself as well: a server of the page alone, whose every view is a new
one at each tick, with one viewer of an engine in another process. What is found is kept in ``bench/results/page.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from statistics import mean

from bench.stamp import stamp
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.export.summary import engine_key
from kvwatch.page.live import TICK_SECONDS, LivePage
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import EngineView, FleetView, TargetView

RESULTS = Path(__file__).parent / "results" / "page.json"
TICKS = os.sysconf("SC_CLK_TCK")
PORT = 19_731
WARM_UP_SECONDS = 90.0
"""Until every engine has estimates: a minute of arrivals, and a round of views."""
LEARNING_SECONDS = 400
"""Until a view has all that a page shows, windows of five minutes included."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Viewer:
    """Reads the stream of the page, as a browser does, and counts."""

    def __init__(self, key: str) -> None:
        self.events, self.bytes = 0, 0
        self._stream = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v1/stream?{key}", timeout=30)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self.bytes += len(line)
            self.events += line.startswith(b"event: fleet")

    def close(self) -> None:
        """Look away."""
        self._stream.fp.raw._sock.close()


def learnt_view() -> EngineView:
    """All that is known of an embedded engine after some minutes."""
    start, engine, reader = 1_750_000_000.0, SCENARIOS["steady"].engine(seed=1), ExpositionReader()
    fleet = Fleet(CoreOptions())
    fleet.add("engine")
    for second in range(1, LEARNING_SECONDS + 1):
        engine.advance(second)
        engine.take_ended()
        text = render(engine, model_name="emulated", engine_label="0", unix_offset=start)
        fleet.observe("engine", reader.read(text.encode(), start + second))
    (target,) = fleet.view(start + LEARNING_SECONDS).targets
    return target.engines[0]


class Moving:
    """A fleet whose views are all new, and unlike those before, whenever it is looked at; ``spent`` made them [s]."""

    def __init__(self, engines: int) -> None:
        self._known = learnt_view()
        self._engines, self._looks = engines, 0
        self.spent = 0.0

    def __call__(self) -> FleetView:
        """The fleet as it is now."""
        began = time.process_time()
        self._looks += 1
        load = self._known.utilization
        targets = []
        for number in range(self._engines):
            factor = 1 + 0.001 * ((self._looks * 7 + number) % 100)
            moved = replace(load, value={window: factor * rho for window, rho in load.value.items()})
            view = replace(self._known, target=f"engine-{number}", utilization=moved, running_requests=float(number))
            targets.append(TargetView(view.target, True, 0.1, 0.01, (view,)))
        self.spent += time.process_time() - began
        return FleetView(time.time(), tuple(targets))


async def own_share(engines: int, seconds: float) -> float:
    """CPU of the page's own part for one viewer, as a share of a core."""
    fleet = Moving(engines)
    live = LivePage(fleet)
    server = HttpServer(live.routes(), Listen("127.0.0.1", 0))
    await server.start()
    key = engine_key({"target": "engine-0", "model_name": "emulated", "engine": "0"})
    keeping = asyncio.create_task(live.keep())
    curl = shutil.which("curl")
    assert curl is not None, "the viewer is curl"
    url = f"http://127.0.0.1:{server.port}/api/v1/stream?{key}"
    viewer = await asyncio.create_subprocess_exec(curl, "-sN", url, stdout=subprocess.DEVNULL)
    try:
        await asyncio.sleep(3 * TICK_SECONDS)
        cpu, spent, began = time.process_time(), fleet.spent, time.monotonic()
        await asyncio.sleep(seconds)
        used = time.process_time() - cpu - (fleet.spent - spent)
        return used / (time.monotonic() - began)
    finally:
        viewer.terminate()
        await viewer.wait()
        keeping.cancel()
        await live.close()
        await server.stop()


def first_engine() -> str:
    """The key of an engine that is watched."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v1/engines", timeout=30) as answer:
        engine = json.load(answer)["engines"][0]
    return "&".join(f"{label}={engine[label]}" for label in ("target", "model_name", "engine"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    own = asyncio.run(own_share(args.engines, args.seconds))
    print(f"the page's own part with one viewer: {own:.2%} of a core", flush=True)
    server = subprocess.Popen([sys.executable, "-m", "bench.scale.server"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    targets = [{"name": f"engine-{n}", "url": f"http://127.0.0.1:{port}/{n}"} for n in range(args.engines)]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kvwatch.yaml"
        config.write_text(json.dumps({"targets": targets}), encoding="utf-8")
        command = [sys.executable, "-m", "kvwatch", "run", "--config", str(config), "--listen", f"127.0.0.1:{PORT}"]
        daemon = subprocess.Popen([*command, "--log-level", "error"])
        try:
            time.sleep(WARM_UP_SECONDS)
            shares: dict[bool, list[float]] = {False: [], True: []}
            events = sent = 0
            for turn in range(2 * args.rounds):
                watched = bool(turn % 2)
                viewer = Viewer(first_engine()) if watched else None
                before, began = cpu_seconds(daemon.pid), time.monotonic()
                time.sleep(args.seconds)
                shares[watched].append((cpu_seconds(daemon.pid) - before) / (time.monotonic() - began))
                if viewer is not None:
                    events, sent = events + viewer.events, sent + viewer.bytes
                    viewer.close()
            seconds = args.rounds * args.seconds
            print(f"{args.engines} engines, {args.rounds} times {args.seconds:g} s each")
            print(
                f"without a viewer {mean(shares[False]):.1%} of a core ({', '.join(f'{s:.1%}' for s in shares[False])})"
            )
            print(
                f"with one viewer  {mean(shares[True]):.1%} of a core ({', '.join(f'{s:.1%}' for s in shares[True])})"
            )
            print(f"events each {seconds / max(events, 1):.1f} s, {sent / seconds / 1000:.0f} kB/s")
            found = {
                "made": stamp(),
                "engines": args.engines,
                "own_share": own,
                "daemon_share": mean(shares[False]),
                "daemon_share_viewed": mean(shares[True]),
                "turns": {"seconds": args.seconds, "without": shares[False], "with": shares[True]},
                "bytes_per_second": sent / seconds,
            }
            RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        finally:
            daemon.terminate()
            server.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
