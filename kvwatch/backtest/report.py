"""Everything that is reported of a backtest, as one value, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from kvwatch import __version__
from kvwatch.backtest.coarse import Cost
from kvwatch.backtest.coverage import Coverage
from kvwatch.backtest.incidents import Incident
from kvwatch.backtest.judge import Alerting, Page, Score
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.timeline import MODEL_LABELS, Model, Timeline

PAGE_SEVERITIES = frozenset({"critical", "page", "p1", "pager"})
"""Values of the label ``severity`` of alerts that wake somebody, in lower case. Choice: what Prometheus' own
examples and rule files use."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one set of rules did.

    Attributes:
        name: What it is called: "kvwatch", or the user's file.
        pages: Its pages in the order of time.
        score: What they add up to.
        warned: Alerts that page nobody.
        by_alert: For each alert that pages, what it did alone.
        not_evaluated: Alerts that could not be evaluated, with the reason.
    """

    name: str
    pages: tuple[Page, ...]
    score: Score
    warned: tuple[Alerting, ...] = ()
    by_alert: Mapping[str, Score] | None = None
    not_evaluated: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A backtest. Times are unix seconds.

    ``source`` is where the data came from, in words; ``prometheus`` the address of that Prometheus, for links to a
    moment, where it is one.
    """

    source: str
    prometheus: str | None
    span: Spell
    queue_seconds: float
    timelines: Mapping[Model, Timeline]
    incidents: tuple[Incident, ...]
    own: Side
    yours: Side | None
    coverage: tuple[Coverage, ...]
    costs: tuple[Cost, ...]

    @property
    def sides(self) -> tuple[Side, ...]:
        """kvwatch, and the user's rules where there are any."""
        return (self.own,) if self.yours is None else (self.own, self.yours)


def pages_anybody(alerting: Sequence[Alerting], severities: Sequence[str]) -> tuple[list[Alerting], list[Alerting]]:
    """Alerts that page, and those that do not; all page where no rule of the file has a severity that does."""
    if not any(s.lower() in PAGE_SEVERITIES for s in severities):
        return list(alerting), []
    paging = [a for a in alerting if a.severity.lower() in PAGE_SEVERITIES]
    return paging, [a for a in alerting if a.severity.lower() not in PAGE_SEVERITIES]


def model_name(model: Model | None) -> str:
    """What a model is called, as far as its labels go."""
    if model is None:
        return "any model"
    cluster, namespace, name, role = model
    return "/".join(part for part in (cluster, namespace, name) if part) + (f" ({role})" if role else "")


def timestamp(at: float) -> str:
    """A time as RFC 3339 has it."""
    return datetime.fromtimestamp(round(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(report: Report) -> dict[str, object]:
    """The report for programs: durations in seconds, times as RFC 3339; what is not known is left out."""
    return {
        "kvwatch": __version__,
        "source": report.source,
        "start": timestamp(report.span.start),
        "end": timestamp(report.span.end),
        "queue_seconds": report.queue_seconds,
        "incidents": [_incident(i) for i in report.incidents],
        "sides": [_side(side) for side in report.sides],
        "servers": [_known(asdict(c) | {"judged_ratio": c.judged_ratio}) for c in report.coverage],
        "cost_of_coarse_scrapes": [_known(asdict(cost)) for cost in report.costs],
    }


def _known(document: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in document.items() if value is not None}


def _model(model: Model | None) -> dict[str, str]:
    return {} if model is None else {k: v for k, v in zip(MODEL_LABELS, model, strict=True) if v}


def _incident(incident: Incident) -> dict[str, object]:
    document = _known(asdict(incident))
    del document["spell"]
    return document | {
        "model": _model(incident.model),
        "start": timestamp(incident.spell.start),
        "end": timestamp(incident.spell.end),
        "seconds": incident.spell.seconds,
        "peak_at": timestamp(incident.peak_at),
    }


def _page(page: Page) -> dict[str, object]:
    document = _known(asdict(page))
    del document["spell"]
    return document | {
        "model": _model(page.model),
        "start": timestamp(page.spell.start),
        "end": timestamp(page.spell.end),
        "seconds": page.spell.seconds,
        "outcome": page.outcome.value,
    }


def _score(score: Score) -> dict[str, object]:
    return _known(asdict(score) | {"median_lead_seconds": score.median_lead_seconds})


def _side(side: Side) -> dict[str, object]:
    return {
        "name": side.name,
        **_score(side.score),
        "paged": [_page(page) for page in side.pages],
        "by_alert": {name: _score(score) for name, score in (side.by_alert or {}).items()},
        "warned": [
            {
                "alert": a.alert,
                "model": _model(a.model),
                "start": timestamp(a.spell.start),
                "end": timestamp(a.spell.end),
            }
            for a in side.warned
        ],
        "not_evaluated": dict(side.not_evaluated),
    }
