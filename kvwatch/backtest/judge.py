"""Pages against what happened: which came before a queue, which after it, and which for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from kvwatch.backtest.incidents import SAME_SECONDS, Incident
from kvwatch.backtest.spells import Spell, joined
from kvwatch.backtest.timeline import Model, Timeline

HORIZON_SECONDS = 1800.0
"""How long after a page began a queue may begin that it was about [s]. Choice: three times the ten minutes that a
replica takes to start by default, which is what kvwatch's early page looks ahead."""


class Outcome(StrEnum):
    """What became of a page."""

    BEFORE = "before"
    """A queue began while it was out, or soon after it began."""
    AFTER = "after"
    """Requests waited already."""
    AVERTED = "averted"
    """No queue followed, and an engine was added meanwhile."""
    FALSE = "false"
    """No queue followed, and no engine was added."""
    OPEN = "open"
    """The data ends too soon to tell."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """One alert about one model, while it fires. ``model`` is ``None`` where its labels do not name one."""

    alert: str
    severity: str
    model: Model | None
    spell: Spell


@dataclass(frozen=True, slots=True)
class Page:
    """What whoever is on call gets: alerts about a model, one after another and close together.

    Attributes:
        number: Counted from 1 in the order of time.
        model: Whom it is about; ``None`` where the alerts do not say.
        spell: From the first alert to the end of the last [unix s].
        alerts: Their names, the first to fire first.
        outcome: What became of it.
        incident: Number of the incident that it came before or after; ``None`` without one.
        lead_seconds: From the page to the beginning of the incident; negative where it came after.
        added_after_seconds: From the page until an engine was added, where one was; else ``None``.
    """

    number: int
    model: Model | None
    spell: Spell
    alerts: tuple[str, ...]
    outcome: Outcome
    incident: int | None
    lead_seconds: float | None
    added_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a set of rules did over all of the time.

    ``leads``: of each incident that a page came before, from the first such page to its beginning [s]; ``late``: of
    each that was paged only after, the time that had passed by then [s]; ``missed``: incidents without any page.
    """

    pages: int
    before: int
    after: int
    averted: int
    false: int
    open: int
    leads: tuple[float, ...]
    late: tuple[float, ...]
    missed: tuple[int, ...]
    incidents: int

    @property
    def median_lead_seconds(self) -> float | None:
        """Of the incidents that a page came before; ``None`` without any."""
        return median(self.leads) if self.leads else None


def pages(
    alerting: Sequence[Alerting], found: Sequence[Incident], timelines: Mapping[Model, Timeline], end: float
) -> list[Page]:
    """The pages that alerts make, each with what became of it; ``end`` is where the data ends [unix s]."""
    whole = [
        (spell, model)
        for model in dict.fromkeys(a.model for a in alerting)
        for spell in joined((a.spell for a in alerting if a.model == model), SAME_SECONDS)
    ]
    result = []
    for number, (spell, model) in enumerate(sorted(whole, key=lambda w: (w[0], str(w[1]))), 1):
        inside = sorted(
            (a for a in alerting if a.model == model and spell.start <= a.spell.start <= spell.end),
            key=lambda a: (a.spell.start, a.alert),
        )
        names = tuple(dict.fromkeys(a.alert for a in inside))
        about = [i for i in found if model is None or i.model == model]
        incident, outcome = _outcome(spell, about)
        added = None
        if outcome is Outcome.FALSE:
            added = _added_after(spell, model, timelines)
            if added is not None:
                outcome = Outcome.AVERTED
            elif spell.start + HORIZON_SECONDS > end:
                outcome = Outcome.OPEN
        lead = incident.spell.start - spell.start if incident is not None else None
        result.append(Page(number, model, spell, names, outcome, incident.number if incident else None, lead, added))
    return result


def _outcome(page: Spell, about: Sequence[Incident]) -> tuple[Incident | None, Outcome]:
    for incident in about:
        if incident.spell.start <= page.start <= incident.spell.end:
            return incident, Outcome.AFTER
    later = [i for i in about if i.spell.start > page.start]
    for incident in later:
        if incident.spell.start <= max(page.end, page.start + HORIZON_SECONDS):
            return incident, Outcome.BEFORE
    return None, Outcome.FALSE


def _added_after(page: Spell, model: Model | None, timelines: Mapping[Model, Timeline]) -> float | None:
    """How long after a page's beginning there were more engines than then [s]; ``None`` if there never were."""
    for timeline in timelines.values():
        if model is not None and timeline.model != model:
            continue
        before = timeline.value("engines", page.start)
        part = timeline.between(page.start, max(page.end, page.start + HORIZON_SECONDS))
        if before is not None:
            more = (timeline.curves["engines"][part] > before).nonzero()[0]
            if len(more):
                return float(timeline.at[part][more[0]]) - page.start
    return None


def score(made: Sequence[Page], found: Sequence[Incident]) -> Score:
    """What pages add up to."""
    of = {outcome: sum(page.outcome is outcome for page in made) for outcome in Outcome}
    leads: list[float] = []
    late: list[float] = []
    missed: list[int] = []
    for incident in found:
        about = [page for page in made if incident.number in _incidents_of(page, found)]
        if not about:
            missed.append(incident.number)
            continue
        lead = max(incident.spell.start - page.spell.start for page in about)
        (leads if lead > 0 else late).append(abs(lead))
    return Score(
        pages=len(made),
        before=of[Outcome.BEFORE],
        after=of[Outcome.AFTER],
        averted=of[Outcome.AVERTED],
        false=of[Outcome.FALSE],
        open=of[Outcome.OPEN],
        leads=tuple(leads),
        late=tuple(late),
        missed=tuple(missed),
        incidents=len(found),
    )


def _incidents_of(page: Page, found: Sequence[Incident]) -> set[int]:
    """Numbers of the incidents that a page was out for: its own, and those that began while it was out."""
    out = {
        i.number
        for i in found
        if (page.model is None or i.model == page.model) and page.spell.start < i.spell.start <= page.spell.end
    }
    return out | ({page.incident} if page.incident is not None else set())
