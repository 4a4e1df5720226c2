"""A real Prometheus on loopback that holds what a test has written down, for the tests that ask one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from kvwatch.facts import Scrape
from kvwatch.parse.recording import recorded_text
from kvwatch.shell.recordings.lines import read_lines
from kvwatch.shell.recordings.replay import scrapes_path


def require_prometheus() -> None:
    """Fail where there is none, instead of skipping what nobody then notices."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.fail("prometheus and promtool must be on the PATH: make setup-prometheus", pytrace=False)


@contextmanager
def serving(folder: Path, lines: Iterable[str], *options: str) -> Iterator[str]:
    """The address of a Prometheus that holds these lines of OpenMetrics, with time stamps."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "series.txt").open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.write("# EOF\n")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "series.txt"), str(folder / "data")]
    subprocess.run(blocks, check=True, capture_output=True, timeout=300)
    with _running(folder, "{}", *options) as address:
        yield address


@contextmanager
def scraping(folder: Path, server: str, every: str = "1s") -> Iterator[str]:
    """The address of a Prometheus that scrapes a server, given as host and port; it begins some seconds later."""
    folder.mkdir(parents=True, exist_ok=True)
    often = f"scrape_interval: {every}, scrape_timeout: {every}"
    job = f"{{job_name: vllm, {often}, static_configs: [{{targets: ['{server}']}}]}}"
    with _running(folder, f"scrape_configs: [{job}]") as address:
        yield address


@contextmanager
def _running(folder: Path, config: str, *options: str) -> Iterator[str]:
    """The address of a Prometheus that keeps what it has in a folder."""
    (folder / "prometheus.yml").write_text(config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}", "--log.level=error", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            _wait(f"http://{address}/-/ready", server)
            yield f"http://{address}"
        finally:
            server.terminate()
            server.communicate(timeout=30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    server.kill()
    raise AssertionError(f"prometheus did not start: {server.communicate()[1].decode()}")


def scraped(folder: Path, labels: Mapping[str, str], every: float = 0.0) -> Iterator[str]:
    """A recording as a Prometheus that scraped its server would have stored it, every so many seconds."""
    given = ",".join(f'{name}="{value}"' for name, value in labels.items())
    last = float("-inf")
    for _, line in read_lines(scrapes_path(folder), print):
        found = recorded_text(line)
        if found is None or found[0] - last < every:
            continue
        last = found[0]
        for sample in found[1].decode().splitlines():
            if sample and not sample.startswith("#"):
                key, _, value = sample.rpartition(" ")
                name, brace, rest = key.partition("{")
                inside = f"{rest.removesuffix('}')},{given}" if brace else given
                yield f"{name}{{{inside.replace(',,', ',')}}} {value} {found[0]:.3f}"
        yield f"up{{{given}}} 1 {found[0]:.3f}"


def times_of(scrapes: Iterable[object]) -> list[float]:
    """When good scrapes were made, as Prometheus stores it: in milliseconds."""
    return [round(scrape.at, 3) for scrape in scrapes if isinstance(scrape, Scrape)]
