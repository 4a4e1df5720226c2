"""What a viewer of the live page costs: the CPU of a daemon that watches 200 engines, without and with one.

    python -m bench.page

The engines are those of the scale bench. The times without and with a viewer alternate, so that other work on the
machine falls on both; CPU time is the daemon's own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from statistics import mean

TICKS = os.sysconf("SC_CLK_TCK")
PORT = 19_731
WARM_UP_SECONDS = 90.0
"""Until every engine has estimates: a minute of arrivals, and a round of views."""


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
        finally:
            daemon.terminate()
            server.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
