"""Series that a Prometheus has stored become the scrapes that they came from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.exposition.names import is_read
from kvwatch.parse.exposition.samples import SampleReader
from kvwatch.parse.history import (
    NAME,
    HistoryReader,
    StoredSeries,
    anchor_pattern,
    model_of,
    names_like,
    target_labels,
)
from tests.parse.exposition.passed_on import passed_on

SCRAPES = Path(__file__).parents[1] / "data" / "scrapes"
TARGET = {"job": "vllm", "instance": "vllm-0:8000", "namespace": "prod"}


def stored(bodies: dict[float, bytes], **target: str) -> list[StoredSeries]:
    """What a Prometheus stores of expositions by the times of their scrapes, with the target's labels added."""
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
    for at, body in bodies.items():
        reader = SampleReader(is_read)
        reader.feed(body)
        samples = reader.finish()
        for one, value in zip(samples.series, samples.values, strict=True):
            labels = {**one.labels, **TARGET, **target, NAME: one.name}
            found[tuple(sorted(labels.items()))].append((at, value))
    return [
        StoredSeries(dict(labels), np.array([at for at, _ in pairs]), np.array([value for _, value in pairs]))
        for labels, pairs in found.items()
    ]


def exposition(version: str = "0.32") -> bytes:
    """A whole page of a real vLLM."""
    (path, *_) = sorted(SCRAPES.glob(f"*{version}*"))
    return path.read_bytes()


def test_every_recorded_exposition_is_read_as_it_is_live() -> None:
    """The same engines with the same numbers, for each version of vLLM and each way in which metrics are passed on."""
    compared = 0
    for path in sorted(SCRAPES.rglob("*")):
        if not path.is_file() or path.suffix not in {".prom", ".txt"}:
            continue
        live = ExpositionReader().read(path.read_bytes(), 100.0)
        (found,) = HistoryReader().read(stored({100.0: path.read_bytes()})) if live.engines else (None,)
        if found is None:
            continue
        assert isinstance(found, Scrape)
        assert found.engines == live.engines, path
        assert found.process_start == live.process_start
        compared += 1
    assert compared >= 5


def test_each_scrape_has_its_own_time_and_numbers() -> None:
    """Time stamps are those of the scrapes, and what one of them lacks is unknown in it alone."""
    body = exposition()
    without = b"\n".join(line for line in body.splitlines() if not line.startswith(b"vllm:num_preemptions"))
    found = list(HistoryReader().read(stored({10.25: body, 25.5: without + b"\n", 40.125: body})))
    assert [scrape.at for scrape in found] == [10.25, 25.5, 40.125]
    known = [scrape.engines[0].preemptions is not None for scrape in found if isinstance(scrape, Scrape)]
    assert known == [True, False, True]


def test_a_server_that_comes_back_with_other_settings_shows_them_from_then_on() -> None:
    """In one window there may be two cache configurations: each scrape has its own."""
    body = exposition()
    (live,) = ExpositionReader().read(body, 0.0).engines
    blocks = live.cache.num_gpu_blocks
    assert blocks is not None
    other = body.replace(f'num_gpu_blocks="{blocks}"'.encode(), b'num_gpu_blocks="77"')
    first, second = HistoryReader().read(stored({10.0: body, 25.0: other}))
    assert isinstance(first, Scrape)
    assert isinstance(second, Scrape)
    assert first.engines[0].cache.num_gpu_blocks == blocks
    assert second.engines[0].cache.num_gpu_blocks == 77


def test_a_scrape_that_failed_is_one_that_failed() -> None:
    """``up`` is 0 when the server did not answer; where nothing says so, a missing scrape is nothing at all."""
    series = stored({10.0: exposition(), 40.0: exposition()})
    up = StoredSeries({NAME: "up", **TARGET}, np.array([10.0, 25.0, 40.0]), np.array([1.0, 0.0, 1.0]))
    found = list(HistoryReader().read([*series, up]))
    assert [type(one) for one in found] == [Scrape, ScrapeFailed, Scrape]
    assert [one.at for one in HistoryReader().read(series)] == [10.0, 40.0]


def test_windows_cut_anywhere_give_the_same_scrapes() -> None:
    """A reader that is given one window after another reads what it reads of all at once."""
    bodies = {10.0 + 15 * i: exposition() for i in range(4)}
    series = stored(bodies)
    reader = HistoryReader()
    halves = [replace_window(series, low, high) for low, high in ((0.0, 30.0), (30.0, 100.0))]
    apart = [scrape for half in halves for scrape in reader.read(half)]
    assert apart == list(HistoryReader().read(series))


def replace_window(series: list[StoredSeries], low: float, high: float) -> list[StoredSeries]:
    """The samples after ``low`` and up to ``high``."""
    cut = []
    for one in series:
        inside = (one.at > low) & (one.at <= high)
        cut.append(replace(one, at=one.at[inside], values=one.values[inside]))
    return cut


def test_names_that_are_asked_for_are_spelled_as_the_server_spells_its_anchor() -> None:
    """With what Ray or a collector puts in front, and with what no server owns."""
    names = names_like(["ray_vllm_num_requests_running"])
    assert "ray_vllm_num_requests_waiting" in names
    assert {"up", "process_start_time_seconds"} <= set(names)
    assert not [name for name in names if name.startswith("vllm:")]
    assert "vllm:num_requests_running" in anchor_pattern()
    both = names_like(["vllm:num_requests_running", "kserve_vllm:num_requests_running"])
    assert {"vllm:num_requests_waiting", "kserve_vllm:num_requests_waiting"} <= set(both)


def test_engines_behind_two_prefixes_are_told_apart_as_they_are_live() -> None:
    """A copy that a gateway passes on is none; another server, which a collector shows beside it, is one in time."""
    engines = [SCENARIOS["steady"].engine(seed=seed, start=0.0) for seed in (1, 2)]
    copied: dict[float, bytes] = {}
    beside: dict[float, bytes] = {}
    for at in (10.0 * i for i in range(1, 26)):
        one, other = (page_at(engine, at) for engine in engines)
        copied[at] = (one + passed_on(one, prefix="ray_vllm:")).encode()
        beside[at] = (one + passed_on(other, prefix="ray_vllm:")).encode()
    for bodies, count in ((copied, 1), (beside, 2)):
        live, reader = ExpositionReader(), HistoryReader()
        read = [live.read(body, at) for at, body in bodies.items()]
        found = [scrape for scrape in reader.read(stored(bodies)) if isinstance(scrape, Scrape)]
        assert [scrape.engines for scrape in found] == [scrape.engines for scrape in read]
        assert len(found[-1].engines) == count


def page_at(engine: Engine, at: float) -> str:
    """What it shows then."""
    engine.advance(at)
    return render(engine, model_name="m")


def test_a_series_says_which_server_and_which_model_it_is_of() -> None:
    """Labels of the engine are none of the server."""
    labels = {NAME: "vllm:num_requests_running", "model_name": "m", "engine": "1", **TARGET}
    assert target_labels(labels) == {**TARGET, "cluster": "", "pod": "", "prometheus": ""}
    assert model_of(labels) == "m"
