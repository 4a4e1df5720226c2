"""A whole backtest: servers are found, estimated side by side, rules are evaluated, and all of it is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kvwatch.backtest import coarse
from kvwatch.backtest.coverage import Coverage
from kvwatch.backtest.incidents import Incident, incidents
from kvwatch.backtest.judge import Alerting, pages, score
from kvwatch.backtest.report import Report, Side, pages_anybody
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.timeline import Model
from kvwatch.facts import Settings
from kvwatch.promql.rules import RuleFile
from kvwatch.shell.backtest.checkpoint import SERVERS, Checkpoint
from kvwatch.shell.backtest.estimate import Job, part_path
from kvwatch.shell.backtest.evaluate import Evaluated, evaluate_rules, own_rules, wanted_names
from kvwatch.shell.backtest.parts import PART_SECONDS
from kvwatch.shell.backtest.side_by_side import estimate_all
from kvwatch.shell.backtest.sources import FromPrometheus, FromRecording, Source
from kvwatch.shell.backtest.user_rules import UserRules, ask_prometheus, ask_recordings
from kvwatch.shell.prometheus.api import Api, Server
from kvwatch.shell.prometheus.history import Found, find_targets, scrape_interval
from kvwatch.shell.recordings.replay import Recording, RecordingError, interval_seconds, recordings_of

LONGEST_INTERVAL_SECONDS = 120.0
"""Longest scrape interval that is worth a look [s]. Choice: λ of a minute has no second sample then, and a
missed scrape or two make a series stale."""
_ENGINES_LIKE_TARGETS = ("cluster", "namespace", "pod")
"""Labels of a server that its estimates have too, since alerts group by them."""
_SCRAPES_TO_TELL_INTERVAL = 30


class NothingError(Exception):
    """There is nothing to look at; the message says what was found instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Times are unix seconds, durations seconds.

    Attributes:
        span: The time that is looked at.
        server: The Prometheus, or ``None`` where recordings are looked at.
        matches: Selectors of servers; all where there is none.
        recordings: Folders of recordings, where no Prometheus is asked.
        rules: The user's rules with the name of their file, where there are any.
        queue_seconds: How long requests wait until it counts as an incident.
        every_seconds: Least time between two views.
        settings: By the name of a server what the user gave of its scheduler; "" is for all others.
        options: Options of the core.
        processes: How many processes share the servers.
        dask: Address of a Dask cluster to use instead.
    """

    span: Spell
    queue_seconds: float
    every_seconds: float
    server: Server | None = None
    matches: tuple[str, ...] = ()
    recordings: tuple[Path, ...] = ()
    rules: tuple[str, RuleFile] | None = None
    settings: Mapping[str, Settings] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    processes: int = 1
    dask: str | None = None


Told = Callable[[str, float], object]
"""Hears what is being done, and which share of it is done."""


def span_of_recordings(folders: Sequence[Path]) -> Spell:
    """The time that recordings are of. Raises RecordingError where there is none in one of them."""
    starts, ends = [], []
    for recording in (one for folder in folders for one in recordings_of(folder, lambda _: None)):
        times = [scrape.at for scrape in recording.scrapes()]
        if not times:
            raise RecordingError(f"{recording.folder} holds no scrape that can be read")
        starts.append(times[0])
        ends.append(times[-1])
    return Spell(min(starts), max(ends))


def backtest(question: Question, checkpoint: Checkpoint, told: Told) -> Report:
    """Do all of it, or what a run that was killed has left.

    Raises:
        NothingError: there is nothing to look at.
        PrometheusError, RecordingError: what there is cannot be read.
        ValueError: rules cannot be evaluated.
    """
    rules = own_rules()
    sources = _sources(question, checkpoint, told)
    jobs = _jobs(question, sources, wanted_names(rules), checkpoint.folder)
    coverage = _estimate(question, jobs, told)
    if not any(c.engines for c in coverage):
        raise NothingError("no scrape of any server holds an engine that can be read")
    evaluated = evaluate_rules(
        [job.folder for job in jobs],
        rules,
        question.span.start,
        question.span.end,
        lambda share: told("evaluating kvwatch's alerts", share),
    )
    found = incidents(evaluated.queues, evaluated.timelines, question.queue_seconds, question.span.end)
    paging, quiet = pages_anybody(
        [a for a in evaluated.alerting if a.severity in {"critical", "warning"}], [r.severity for r in rules.alerts]
    )
    own = _side("kvwatch", paging, quiet, found, evaluated, question.span)
    yours = _yours(question, checkpoint, found, evaluated, told)
    return Report(
        source=_source_words(question),
        prometheus=question.server.url if question.server is not None else None,
        span=question.span,
        queue_seconds=question.queue_seconds,
        timelines=evaluated.timelines,
        incidents=tuple(found),
        own=own,
        yours=yours,
        coverage=tuple(coverage),
        costs=coarse.costs_of(coverage, coarse.measured()),
    )


def _source_words(question: Question) -> str:
    if question.server is not None:
        return f"the Prometheus at {question.server.url}"
    names = ", ".join(folder.resolve().name for folder in question.recordings)
    return f"{'recordings' if len(question.recordings) > 1 else 'the recording'} {names}"


def _sources(question: Question, checkpoint: Checkpoint, told: Told) -> dict[str, Source]:
    """Where each server's scrapes come from, by its name; written down, so that a run that goes on asks the same."""
    if question.server is None:
        found: dict[str, Source] = {}
        for recording in _recordings(question):
            first = [s for s, _ in zip(recording.scrapes(), range(_SCRAPES_TO_TELL_INTERVAL), strict=False)]
            taken = recording.name in found
            name = f"{recording.name} ({recording.folder.resolve().name})" if taken else recording.name
            found[name] = FromRecording(recording.folder, interval_seconds(first), recording.server)
        return found
    noted = checkpoint.found.get(SERVERS)
    if noted is None:
        noted = asyncio.run(_look(question.server, question, told))
        checkpoint.write({**checkpoint.found, SERVERS: noted})
    shared = 1 if question.dask is not None else min(question.processes, len(noted))
    server = replace(question.server, queries_per_second=question.server.queries_per_second / shared)
    sources: dict[str, Source] = {}
    for one in noted:
        target = Found(one["labels"], tuple(one["anchors"]), tuple(one["models"]), one["engines"])
        sources[one["name"]] = FromPrometheus(
            server, target, question.span.start, question.span.end, one["interval_seconds"]
        )
    return sources


def _recordings(question: Question) -> list[Recording]:
    return [one for folder in question.recordings for one in recordings_of(folder, lambda _: None)]


async def _look(server: Server, question: Question, told: Told) -> list[dict[str, Any]]:
    """Every server with its scrape interval."""
    span = question.span
    async with Api(server) as api:
        targets = await find_targets(api, question.matches, span.start, span.end)
        names = _names(targets)
        noted, coarse_ones = [], []
        for place, (name, target) in enumerate(zip(names, targets, strict=True)):
            told("looking at scrape intervals", place / len(targets))
            interval = await scrape_interval(api, target, span.start, span.end)
            if interval is None or interval > LONGEST_INTERVAL_SECONDS:
                coarse_ones.append((name, interval))
            else:
                noted.append({"name": name, **asdict(target), "interval_seconds": round(interval, 3)})
    if not noted:
        raise NothingError(_too_coarse(coarse_ones))
    return noted


def _too_coarse(servers: Sequence[tuple[str, float | None]]) -> str:
    name, interval = servers[0]
    what = "is scraped too seldom to see how often" if interval is None else f"is scraped every {interval:.0f} s"
    return (
        f"{name} {what}; kvwatch needs a scrape every {LONGEST_INTERVAL_SECONDS:.0f} s or more often, "
        "best every 15 s (lower scrape_interval, or look at a time in which it was lower)"
    )


def _names(targets: Sequence[Found]) -> list[str]:
    """A name for each server, all of them different."""
    bare = [target.name for target in targets]
    named = []
    for target in targets:
        name = target.name
        if bare.count(name) > 1:
            rest = ",".join(v for k, v in sorted(target.labels.items()) if v != name)
            name = f"{name} ({rest})"
        named.append(name)
    return named


def _jobs(question: Question, sources: Mapping[str, Source], wanted: frozenset[str], folder: Path) -> list[Job]:
    general = question.settings.get("", Settings())
    jobs = []
    for number, (name, source) in enumerate(sorted(sources.items())):
        labels = source.found.labels if isinstance(source, FromPrometheus) else {}
        jobs.append(
            Job(
                name=name,
                given={key: labels[key] for key in _ENGINES_LIKE_TARGETS if labels.get(key)},
                source=source,
                settings=question.settings.get(name, Settings()).over(general),
                start=question.span.start,
                every_seconds=question.every_seconds,
                wanted=wanted,
                folder=folder / "servers" / f"{number:05d}",
                options=question.options,
            )
        )
    return jobs


def _estimate(question: Question, jobs: Sequence[Job], told: Told) -> list[Coverage]:
    """Estimate all servers, in the order of their names."""
    total = len(jobs) * max(int(question.span.seconds // PART_SECONDS) + 1, 1)
    found: dict[str, Coverage] = {}
    for coverage in estimate_all(jobs, question.processes, question.dask):
        if coverage is not None:
            found[coverage.name] = coverage
        done = sum(_parts_done(job, total // len(jobs), job.name in found) for job in jobs)
        told("estimating", done / total)
    return [found[job.name] for job in jobs]


def _parts_done(job: Job, parts: int, done: bool) -> int:
    return parts if done else sum(part_path(job.folder, number).is_file() for number in range(parts))


def _side(  # noqa: PLR0913, PLR0917 (what a side is made of)
    name: str,
    paging: list[Alerting],
    quiet: list[Alerting],
    found: list[Incident],
    evaluated: Evaluated,
    span: Spell,
    names: Sequence[str] = (),
    not_evaluated: tuple[tuple[str, str], ...] = (),
) -> Side:
    made = pages(paging, found, evaluated.timelines, span.end)
    by_alert = {
        alert: score(pages([a for a in paging if a.alert == alert], found, evaluated.timelines, span.end), found)
        for alert in names
    }
    return Side(name, tuple(made), score(made, found), tuple(quiet), by_alert or None, not_evaluated)


def _yours(
    question: Question, checkpoint: Checkpoint, found: list[Incident], evaluated: Evaluated, told: Told
) -> Side | None:
    """What the user's rules did; ``None`` where there are none."""
    if question.rules is None:
        return None
    told("evaluating your rules", 0.0)
    name, rules = question.rules
    known: Collection[Model] = evaluated.timelines
    if question.server is None:
        did = ask_recordings(_recordings(question), rules, question.span, known)
    else:
        did = asyncio.run(_ask(question.server, rules, question.span, known, checkpoint.folder / "rules"))
    told("evaluating your rules", 1.0)
    paging, quiet = pages_anybody(did.alerting, [r.severity for r in rules.alerts])
    silent = {reason[0] for reason in did.not_evaluated}
    pagers = {a.alert for a in paging} | {
        r.name for r in rules.alerts if r.name not in silent and r.name not in {a.alert for a in quiet}
    }
    return _side(name, paging, quiet, found, evaluated, question.span, sorted(pagers), did.not_evaluated)


async def _ask(server: Server, rules: RuleFile, span: Spell, known: Collection[Model], cache: Path) -> UserRules:
    async with Api(server) as api:
        return await ask_prometheus(api, rules, span, known, cache)
