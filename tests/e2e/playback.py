"""What kvwatch says of a recording, on a port and faster: `python -m tests.e2e.playback PORT RECORDING SPEED SECONDS`.

Numbers are computed in the recording's own time and then given in the faster one: rates times the speed, times divided
by it. It begins with the first request, stays at the view of the given second, and ends with a signal.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kvwatch import __version__
from kvwatch.export.catalog import BY_NAME
from kvwatch.export.exposition import Exposition
from kvwatch.export.series import Samples
from kvwatch.shell.recordings.replay import Recording, replay

EVERY_SECONDS = 5.0
"""Recorded time between two pages: several to a scrape of Prometheus."""

SELF: Samples = {"kvwatch_build_info": [((__version__, "3"), 1.0)]}
"""What tells the rules that a kvwatch is there."""


def pages(recording: Path, speed: float, until_seconds: float) -> Iterator[tuple[float, bytes]]:
    """Seconds since the recording began, and what /metrics then was, in the faster time."""
    powers = {"requests/s": 1, "requests/s²": 2, "s": -1}
    factors = {name: speed ** powers[metric.unit] for name, metric in BY_NAME.items() if metric.unit in powers}
    first = last = -EVERY_SECONDS
    for view in replay(Recording(recording, print)):
        first = view.at if first < 0 else first
        if view.at - first > until_seconds:
            return
        if view.at - last < EVERY_SECONDS:
            continue
        last = view.at
        text, _ = Exposition(lambda view=view: view, lambda: SELF).text()  # type: ignore[misc]
        yield view.at - first, "".join(_faster(line, factors) for line in text.decode().splitlines()).encode()


def _faster(line: str, factors: dict[str, float]) -> str:
    factor = factors.get(line.split("{", 1)[0].split(" ", 1)[0])
    if factor is None or line.startswith("#"):
        return f"{line}\n"
    series, number = line.rsplit(" ", 1)
    return f"{series} {float(number) * factor}\n"


def serve(port: int, told: list[tuple[float, bytes]], speed: float) -> None:
    """Answer each request with the page of that time."""
    times = [at for at, _ in told]
    began: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/metrics" and not began:
                began.append(time.monotonic())
            played = speed * (time.monotonic() - began[0]) if began else 0.0
            body = told[max(bisect_right(times, played) - 1, 0)][1]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), list(pages(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))), float(sys.argv[3]))
