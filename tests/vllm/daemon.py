"""The real kvwatch as a process of its own, and its ``/metrics`` read as Prometheus reads them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

KVWATCH = Path(sys.executable).with_name("kvwatch")
STOP_SECONDS = 10.0

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """Every sample of one answer of ``/metrics``, asked for at ``at`` and there at ``came`` (unix seconds)."""

    at: float
    came: float
    samples: dict[str, dict[Labels, float]]

    def get(self, name: str, **labels: str) -> float | None:
        """The one sample of ``name`` whose labels include ``labels``; ``None`` where there is none."""
        wanted = set(labels.items())
        found = [value for own, value in self.samples.get(name, {}).items() if wanted <= own]
        assert len(found) <= 1, f"{len(found)} samples of {name} have {labels}"
        return found[0] if found else None

    @property
    def prompt(self) -> bool:
        """Whether the answer came at once, so that ``newest_scrape`` is good to a fifth of a second."""
        return self.came - self.at < 0.2

    @property
    def newest_scrape(self) -> float:
        """When kvwatch took the last scrape that its numbers rest on (unix seconds)."""
        age = self.get("kvwatch_scrape_age_seconds")
        assert age is not None
        return (self.at + self.came) / 2 - age


def parse(at: float, came: float, text: str) -> Reading:
    """A reading from the text of an answer and its times."""
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Reading(at, came, samples)


class Daemon:
    """``kvwatch run`` with ``arguments``, listening on ``port``; its log goes to ``log``."""

    def __init__(self, port: int, log: Path, arguments: Sequence[str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        command = [str(KVWATCH), "run", "--listen", f"127.0.0.1:{port}", *arguments]
        with log.open("ab") as stream:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)

    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that takes longer than ``STOP_SECONDS``; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(STOP_SECONDS)
        self._process.kill()
        return self._process.wait(STOP_SECONDS)
