"""Recordings of a real vLLM as facts, their phases, and replays of them through the core."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import RequestRecord, Scrape, Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.recording import recorded_scrape
from kvwatch.parse.requestlog import request_record
from kvwatch.parse.settings import settings_from_recording
from kvwatch.views import EngineView, TargetView
from tests.core.runs import make_due_runs
from tests.queueing.steps import held_step_by_step

FOLDER = Path(__file__).parent.parent / "data" / "recordings"
NAMES = ("ramp11", "homog", "chat", "seqcap")


@dataclass(frozen=True)
class Phase:
    """A time of one kind of load [unix s]; ``service_rate`` is measured in saturated ones [requests/s]."""

    index: int
    kind: str
    start: float
    end: float
    service_rate: float | None


@dataclass(frozen=True)
class Recording:
    """What kvwatch is shown (scrapes, requests, settings) and what is only to score it (the rest)."""

    name: str
    scrapes: tuple[Scrape, ...]
    requests: tuple[RequestRecord, ...]
    settings: Settings
    phases: tuple[Phase, ...]
    kv_capacity_tokens: int
    block_tokens: int
    pool: tuple[tuple[int, int], ...]

    @property
    def steady(self) -> tuple[Phase, ...]:
        """The phases whose load does not change."""
        return tuple(p for p in self.phases if p.kind != "ramp")

    def last_scrape(self, phase: Phase) -> float:
        """Time of the last scrape in a phase."""
        return max(s.at for s in self.scrapes if s.at <= phase.end)

    def aborts(self) -> list[float]:
        """Times at which the client dropped all that still waited."""
        return [p.end for p in self.phases if p.kind == "sat"]

    def mean_demand(self, phase: Phase) -> float:
        """Block-counted g, by acting out each step, over the requests that finished in a phase."""
        return self._mean_demand(
            (r.prompt_tokens, r.completion_tokens)
            for r in self.requests
            if r.completed and phase.start <= r.finish <= phase.end
        )

    def mean_demand_asked(self, phase: Phase) -> float:
        """The same over the requests that came in a phase; those of which most were dropped came from the pool."""
        if phase.kind == "sat":
            return self._mean_demand(self.pool)
        return self._mean_demand(
            (r.prompt_tokens, r.completion_tokens) for r in self.requests if phase.start <= r.arrival <= phase.end
        )

    def _mean_demand(self, lengths: Iterable[tuple[int, int]]) -> float:
        chunk = self.settings.max_num_batched_tokens
        assert chunk is not None
        done = [sum(held_step_by_step(s, o, self.block_tokens, chunk)) for s, o in lengths]
        return sum(done) / len(done)

    def cut(self, phase: Phase) -> Recording:
        """Only what was scraped and what finished in a phase."""
        return replace(
            self,
            scrapes=tuple(s for s in self.scrapes if phase.start <= s.at <= phase.end),
            requests=tuple(r for r in self.requests if phase.start <= r.finish <= phase.end),
        )


@cache
def load(name: str) -> Recording:
    """Reads a recording as ``kvwatch replay`` does."""
    folder = FOLDER / name
    reader = ExpositionReader()
    with gzip.open(folder / "scrapes.jsonl.gz") as lines:
        scrapes = [recorded_scrape(line, reader) for line in lines]
    requests = [request_record(line) for line in (folder / "requests.jsonl").read_bytes().splitlines()]
    settings = settings_from_recording((folder / "settings.json").read_bytes())
    truth = json.loads((folder / "truth.json").read_bytes())
    assert settings is not None
    return Recording(
        name=name,
        scrapes=tuple(s for s in scrapes if isinstance(s, Scrape)),
        requests=tuple(r for r in requests if isinstance(r, RequestRecord)),
        settings=replace(settings, source="config"),
        phases=tuple(
            Phase(i, p["kind"], p["start"], p["end"], p.get("service_rate_by_tokens"))
            for i, p in enumerate(truth["phases"])
        ),
        kv_capacity_tokens=truth["kv_capacity_tokens"],
        block_tokens=truth["block_size"],
        pool=tuple((s, o) for s, o, _ in truth["pool"]),
    )


def incident(every: float, *, model_name: str | None = None) -> Iterator[tuple[float, TargetView]]:
    """The recorded incident through the core: seconds since its begin, and the view of its target, every so often."""
    reader = ExpositionReader()
    settings = settings_from_recording((FOLDER / "incident" / "settings.json").read_bytes())
    assert settings is not None
    fleet = Fleet(CoreOptions())
    fleet.add("incident", replace(settings, source="config"))
    begin: float | None = None
    with gzip.open(FOLDER / "incident" / "scrapes.jsonl.gz") as lines:
        for line in lines:
            scrape = recorded_scrape(line, reader)
            if not isinstance(scrape, Scrape):
                continue
            fleet.observe("incident", scrape)
            make_due_runs(fleet, scrape.at)
            begin = scrape.at if begin is None else begin
            due = begin + every * round((scrape.at - begin) / every)
            if abs(scrape.at - due) < 0.5:
                (view,) = fleet.view(scrape.at).targets
                if model_name is not None:
                    view = replace(view, engines=tuple(replace(e, model_name=model_name) for e in view.engines))
                yield scrape.at - begin, view


def replay(
    recording: Recording,
    at: Iterable[float],
    requests: Sequence[RequestRecord] = (),
    *,
    full_engine: bool = True,
) -> dict[float, EngineView]:
    """Runs the core over a recording in recorded time; the engine's view at each of the times ``at``.

    Runs of the embedded engine are made when they are due, and their results taken at once; not at all without
    ``full_engine``.
    """
    wanted = set(at)
    fleet = Fleet(CoreOptions())
    fleet.add(recording.name, recording.settings)
    pending = sorted(requests, key=lambda r: r.finish, reverse=True)
    views = {}
    for scrape in recording.scrapes:
        while pending and pending[-1].finish <= scrape.at:
            fleet.observe(recording.name, pending.pop())
        fleet.observe(recording.name, scrape)
        if full_engine:
            make_due_runs(fleet, scrape.at)
        if scrape.at in wanted:
            (views[scrape.at],) = fleet.view(scrape.at).targets[0].engines
    return views
