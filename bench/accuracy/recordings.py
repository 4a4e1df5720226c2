"""Recordings of a real vLLM: what kvwatch says at the end of each phase, against the recording's saturated phases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accuracy.scored import Scored
from bench.accuracy.watcher import OPTIONS
from bench.accuracy.workloads import composition
from kvwatch.core.fleet import Fleet
from kvwatch.embedded.settings import RequestShape
from kvwatch.facts import Scrape, Settings
from kvwatch.shell.recordings.replay import Recording
from kvwatch.views import EngineView

FOLDER = Path(__file__).parents[2] / "tests" / "data" / "recordings"
_RAMP_MARKS = (0.25, 0.5, 0.75, 1.0)
LEAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PhaseOutcome(Scored):
    """What was said at a time in a phase. Rates in requests/s.

    ``whole`` tells whether the replay began with the recording, saturated phase and all, or only before the first
    phase of load. ``load`` is the arrival rate over the rate of the first saturated phase; in a ramp the mark at
    which the estimate was taken, as a share of the ramp's time.
    """

    recording: str
    whole: bool
    kind: str
    load: float
    requests: int
    truth: float
    true_limits: tuple[str, ...]
    rate: float | None
    lower: float | None
    upper: float | None
    plain: float | None
    limit: str | None
    reason: str
    utilization_lower: dict[str, float]

    @property
    def experts(self) -> bool:
        """Whether the server ran a mixture of experts, which its model's name did not say."""
        return self.recording.startswith("moe-")

    @property
    def plain_error(self) -> float | None:
        """The same of the formula with today's step time."""
        return None if self.plain is None else self.plain / self.truth - 1


class RecordedTruth:
    """``truth.json`` of a recording, and the requests that arrived."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        truth: dict[str, Any] = json.loads((folder / "truth.json").read_text())
        self.name = folder.name
        self.phases: list[dict[str, Any]] = truth["phases"]
        self._block = int(truth["block_size"])
        self._chunk = settings.max_num_batched_tokens or 8192
        pool = [RequestShape(s, o) for s, o, _ in truth["pool"]]
        shared = [RequestShape(s, o, min(prefix, s)) for s, o, prefix in truth["pool"]]
        self._pool = composition(pool, self._block, self._chunk)
        running = composition(shared, self._block, self._chunk).concurrency(
            truth["kv_capacity_tokens"], settings.max_num_seqs or 10**6, self._chunk
        )
        least = min(running.values())
        self.limits = tuple(limit for limit, n in running.items() if n <= 1.03 * least)
        self._rate = float(truth["mu_true"])
        lines = (folder / "requests.jsonl").read_text().splitlines()
        self._requests = [json.loads(line) for line in lines]

    def arrived(self, start: float, end: float) -> list[RequestShape]:
        """Shapes of the requests that arrived in (start, end]."""
        return [
            RequestShape(r["prompt_tokens"], r["completion_tokens"])
            for r in self._requests
            if start < r["arrival"] <= end
        ]

    def rate(self, phase: dict[str, Any], until: float) -> float:
        """The saturated rate for the requests that arrived in a phase up to a time."""
        if phase["kind"] == "sat":
            return float(phase["service_rate_by_tokens"])
        means = composition(self.arrived(phase["start"], until), self._block, self._chunk)
        limit = self.limits[0]
        return self._rate * self._pool.of(limit) / means.of(limit)


def score_recording(folder: Path) -> Iterator[PhaseOutcome]:
    """All phases, of a replay that begins just before the load does, and of one of the whole recording."""
    problems: list[str] = []
    recording = Recording(folder, problems.append)
    settings = recording.settings()
    scrapes = [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]
    truth = RecordedTruth(folder, settings)
    first = next((p["start"] for p in truth.phases if p["kind"] != "sat"), truth.phases[0]["start"])
    for whole in (False, True):
        since = float("-inf") if whole else first - LEAD_SECONDS
        replayed = [scrape for scrape in scrapes if scrape.at >= since]
        marks = {at: (phase, load) for phase in truth.phases for at, load in marks_of(phase, replayed)}
        for at, view in views_at(folder.name, settings, replayed, set(marks)):
            phase, load = marks[at]
            yield PhaseOutcome(
                recording=folder.name,
                whole=whole,
                kind=phase["kind"],
                load=load,
                requests=len(truth.arrived(phase["start"], at)),
                truth=truth.rate(phase, at),
                true_limits=truth.limits,
                rate=view.service_rate.value,
                lower=view.service_rate.lower,
                upper=view.service_rate.upper,
                plain=view.service_rate_plain,
                limit=next(iter(view.binding_limit), None),
                reason=view.estimate_valid["service_rate"].reason,
                utilization_lower=dict(view.utilization.lower),
            )


def marks_of(phase: dict[str, Any], scrapes: Sequence[Scrape]) -> list[tuple[float, float]]:
    """Times of the scrapes at which a phase is judged, and the load or the place in a ramp."""
    within = [s.at for s in scrapes if phase["start"] <= s.at <= phase["end"]]
    if not within:
        return []
    if phase["kind"] == "ramp":
        return [(within[min(int(len(within) * mark), len(within) - 1)], mark) for mark in _RAMP_MARKS]
    return [(within[-1], 1.0 if phase["kind"] == "sat" else float(phase["frac"]))]


def views_at(
    name: str, settings: Settings, scrapes: Sequence[Scrape], wanted: set[float]
) -> Iterator[tuple[float, EngineView]]:
    """The engine's views at the wanted times, the model refreshed as in a replay."""
    fleet = Fleet(OPTIONS)
    fleet.add(name, settings)
    for scrape in scrapes:
        fleet.observe(name, scrape)
        for target, key, run in fleet.take_due_runs(scrape.at):
            fleet.correct(target, key, run.run())
        if scrape.at in wanted:
            for view in fleet.view(scrape.at).targets[0].engines:
                yield scrape.at, view
