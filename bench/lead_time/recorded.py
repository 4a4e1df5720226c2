"""A recording of a real vLLM, as a Prometheus that scraped it and kvwatch would have stored it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.collector import FleetCollector
from bench.lead_time.trace import Labels, Trace, labels_of
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineSample, Scrape
from kvwatch.shell.recordings.replay import Recording

RAMP = Path(__file__).parents[2] / "tests" / "data" / "recordings" / "ramp11"


def ramp_begins(folder: Path = RAMP) -> float:
    """When the recorded ramp began [unix s]; before it the server had been overloaded on purpose, and emptied."""
    phases = json.loads((folder / "truth.json").read_text())["phases"]
    return float(next(phase["start"] for phase in phases if phase["kind"] == "ramp"))


def trace(folder: Path = RAMP, *, interval: float = 15.0, phase: float = 7.5) -> Trace:
    """Replay the ramp of a recording: kvwatch at every recorded scrape, Prometheus every ``interval`` [s].

    Both begin with the ramp, so neither knows anything from before. Times are seconds since then.
    """
    begin = ramp_begins(folder)
    recording = Recording(folder, print)
    fleet = Fleet(CoreOptions())
    name = "vllm-0:8000"
    fleet.add(name, recording.settings())
    now = 0.0
    collector = FleetCollector(lambda: fleet.view(now))
    start: float | None = None
    due = 0.0
    stored_at: list[float] = []
    waiting_at: list[float] = []
    waiting: list[float] = []
    rows: list[dict[Labels, float]] = []
    for scrape in recording.scrapes():
        if not isinstance(scrape, Scrape) or not scrape.engines or scrape.at < begin:
            continue
        now = scrape.at
        if start is None:
            start, due = now, now + phase
        fleet.observe(name, scrape)
        for target, key, run in fleet.take_due_runs(now):
            fleet.correct(target, key, run.run())
        (sample,) = scrape.engines
        waiting_at.append(now - start)
        waiting.append(sample.waiting or 0.0)
        if now >= due:
            due += interval
            stored_at.append(now - start)
            rows.append(_row(collector, sample, name))
    labels = dict.fromkeys(key for row in rows for key in row)
    series = {key: np.array([row.get(key, np.nan) for row in rows]) for key in labels}
    return Trace(
        at=np.array(stored_at),
        series=series,
        waiting_at=np.array(waiting_at),
        waiting=np.array([waiting]),
        service_rate=0.0,
        load_factor=1.0,
        cpu_seconds=0.0,
    )


def _row(collector: FleetCollector, sample: EngineSample, name: str) -> dict[Labels, float]:
    row: dict[Labels, float] = {}
    for family in collector.collect():
        for s in family.samples:
            row[labels_of(s.name, **s.labels, job="kvwatch", instance="kvwatch:9718")] = float(s.value)
    server = {"job": "vllm", "instance": name, "model_name": sample.key.model_name, "engine": sample.key.engine}
    for metric, value in (
        ("vllm:num_requests_waiting", sample.waiting),
        ("vllm:num_requests_running", sample.running),
        ("vllm:kv_cache_usage_perc", sample.kv_usage_ratio),
    ):
        if value is not None:
            row[labels_of(metric, **server)] = value
    return row
