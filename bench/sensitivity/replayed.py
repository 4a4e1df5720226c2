"""Scrapes of known truth, read once and replayed through every variant of the estimator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from bench.accuracy.recordings import LEAD_SECONDS, RecordedTruth, marks_of
from kvwatch.facts import Fact, RequestRecord, Scrape, Settings
from kvwatch.shell.recordings.replay import Recording

TARGET = "engine"
MODEL_MAX_AGE_SECONDS = 30.0
"""How old a run of the embedded engine may be, as in a replay [s]."""

Answer = dict[str, float | str | None]
"""Everything that a view says, by the path of its fields."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A time at which μ is judged [unix s], the load then (arrivals over capacity), and the true μ [requests/s]."""

    at: float
    load: float
    truth: float


@dataclass(frozen=True, slots=True)
class Case:
    """Facts about one engine in the order in which they come to be known, and when its estimates are judged.

    ``group`` says what cases it is scored with.
    """

    group: str
    name: str
    settings: Settings
    facts: Sequence[Fact]
    marks: Sequence[Mark]


def recordings(folder: Path, *, with_logs: bool = False) -> Iterator[Case]:
    """The recordings of a real vLLM whose true μ is known, from just before the load on; also whole, with logs."""
    for path in sorted(truth.parent for truth in folder.glob("*/truth.json")):
        recording = Recording(path, lambda problem: None)
        settings = recording.settings()
        scrapes = [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]
        truth = RecordedTruth(path, settings)
        loaded = next(p["start"] for p in truth.phases if p["kind"] != "sat") - LEAD_SECONDS
        for name, since, records in _ways(recording, loaded, with_logs=with_logs):
            kept = [scrape for scrape in scrapes if scrape.at >= since]
            judged = [
                Mark(at, load, truth.rate(phase, at)) for phase in truth.phases for at, load in marks_of(phase, kept)
            ]
            # a request that ends in the instant of a scrape is in that scrape, so it comes before it
            events: list[Scrape | RequestRecord] = [*records, *kept]
            events.sort(key=lambda e: (e.at, 1) if isinstance(e, Scrape) else (e.finish, 0))
            yield Case("recordings", f"{path.name}, {name}", settings, events, judged)


def _ways(recording: Recording, loaded: float, *, with_logs: bool) -> Iterator[tuple[str, float, list[RequestRecord]]]:
    """How a recording is replayed: the name, from when on [unix s], and with which requests of its log."""
    yield "from the load on", loaded, []
    if with_logs:
        yield "whole, with its requests", float("-inf"), recording.requests()


def answers(case: Case) -> list[Answer]:
    """What is said at each mark, by whatever kvwatch is imported now."""
    # the modules of the variant, which are not those that were there when this one was imported
    from kvwatch.core.fleet import Fleet  # noqa: PLC0415
    from kvwatch.core.options import CoreOptions  # noqa: PLC0415

    fleet = Fleet(CoreOptions(model_max_age_seconds=MODEL_MAX_AGE_SECONDS))
    fleet.add(TARGET, case.settings)
    wanted = {mark.at for mark in case.marks}
    said: dict[float, Answer] = {}
    for fact in case.facts:
        fleet.observe(TARGET, fact)
        if not isinstance(fact, Scrape):
            continue
        for target, key, run in fleet.take_due_runs(fact.at):
            fleet.correct(target, key, run.run())
        if fact.at in wanted:
            view = fleet.view(fact.at)
            engines = view.targets[0].engines
            said[fact.at] = dict(_flat("", engines[0])) if engines else {}
            said[fact.at].update(_flat("model", view.models[0] if view.models else None))
    return [said.get(mark.at, {}) for mark in case.marks]


def _flat(path: str, value: object) -> Iterator[tuple[str, float | str | None]]:
    """The numbers and words of a nested value, by their path."""
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _flat(f"{path}.{each.name}".strip("."), getattr(value, each.name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}", inner)
    elif isinstance(value, tuple):
        for place, inner in enumerate(value):
            yield from _flat(f"{path}.{place}", inner)
    elif value is None or isinstance(value, int | float | str):
        yield path, value


def service_rate(answer: Answer) -> tuple[float | None, float | None, float | None]:
    """μ and the ends of its 90% interval [requests/s]."""
    value, lower, upper = (
        answer.get(name) for name in ("service_rate.value", "service_rate.lower", "service_rate.upper")
    )
    return value, lower, upper  # type: ignore[return-value]


def utilization_lower(answer: Answer) -> list[float]:
    """Lower ends of ρ's intervals over all windows [1]."""
    return [float(v) for k, v in answer.items() if k.startswith("utilization.lower.") and v is not None]
