"""A Prometheus that holds two servers of a recorded ramp, and jobs over recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from kvwatch.facts import Settings
from kvwatch.shell.backtest.estimate import Job
from kvwatch.shell.backtest.evaluate import own_rules, wanted_names
from kvwatch.shell.backtest.run import span_of_recordings
from kvwatch.shell.backtest.sources import FromRecording, Source
from tests.prometheus_server import require_prometheus, scraped, serving

RAMP = Path(__file__).parents[2] / "data" / "recordings" / "ramp11"
SERVERS = (
    {"job": "vllm", "instance": "vllm-0:8000", "namespace": "prod"},
    {"job": "vllm", "instance": "vllm-1:8000", "namespace": "prod"},
)


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that has scraped the ramp each 5 s, as two servers."""
    require_prometheus()
    lines = chain.from_iterable(scraped(RAMP, labels, every=4.5) for labels in SERVERS)
    with serving(tmp_path_factory.mktemp("prometheus"), lines) as address:
        yield address


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes jobs over the recorded ramp, or over another source."""

    def make(source: Source | None = None, folder: Path | None = None, every: float = 15.0) -> Job:
        return Job(
            name="ramp11",
            given={"namespace": "prod"},
            source=source or FromRecording(RAMP, 1.0),
            settings=Settings(),
            start=span_of_recordings([RAMP]).start,
            every_seconds=every,
            wanted=wanted_names(own_rules()),
            folder=folder or tmp_path / "ramp11",
        )

    return make
