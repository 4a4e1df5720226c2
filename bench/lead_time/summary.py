"""Figures over many cases: leads by ramp length, misses, false pages, and whether what is promised holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

import numpy as np

from bench.lead_time.judge import KVWATCH, Judged
from bench.lead_time.scenarios import RAMP_MINUTES, STABLE_UP_TO
from bench.lead_time.truth import WATCHED_SECONDS

USABLE_PER_1000_HOURS = 50.0
"""A rival that pages for nothing more often than that, fifty times what is allowed to kvwatch, is no page."""
FALSE_PER_1000_HOURS, MISSED_RATIO = 1.0, 0.01
LEAD_RATIO, LEAD_SECONDS = 0.2, 180.0
LEAST_STABLE_HOURS = 3000.0


@dataclass(frozen=True, slots=True)
class Leads:
    """One rule over some cases that end in overload. Seconds; a page that never came counts as at the end of watching.

    ``missed``: cases without a page before the queue grew for good; ``early``: pages that came and went before it.
    """

    cases: int
    low: float
    middle: float
    high: float
    missed: int
    early: int


@dataclass(frozen=True, slots=True)
class FalsePages:
    """Pages of one rule in stable time."""

    pages: int
    hours: float

    @property
    def per_1000_hours(self) -> float:
        """Rate; 0 without any time."""
        return 1000 * self.pages / self.hours if self.hours else 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised, what was measured, and whether it holds."""

    claim: str
    measured: str
    holds: bool


def lead(judged: Judged, rule: str) -> float:
    """Seconds from a rule's page to the queue's growth, as counted in medians."""
    found = judged.of(rule).lead_seconds
    return -WATCHED_SECONDS if found is None else max(found, -WATCHED_SECONDS)


def overloaded(cases: Sequence[Judged], kind: str, minutes: int | None = None) -> list[Judged]:
    """Cases of a kind whose queue did grow for good, of one ramp length if asked."""
    chosen = [j for j in cases if j.case.kind == kind and j.onset is not None and j.case.overloads]
    return [j for j in chosen if minutes is None or j.case.rise_seconds == 60 * minutes]


def leads(cases: Sequence[Judged], rule: str) -> Leads | None:
    """A rule's leads over cases; ``None`` without any."""
    if not cases:
        return None
    found = [lead(j, rule) for j in cases]
    low, middle, high = (float(x) for x in np.quantile(found, (0.1, 0.5, 0.9)))
    return Leads(len(found), low, middle, high, sum(x <= 0 for x in found), sum(j.of(rule).early_pages for j in cases))


def false_pages(cases: Sequence[Judged], rule: str) -> FalsePages:
    """A rule's pages in the stable time of cases."""
    return FalsePages(sum(j.of(rule).false_pages for j in cases), sum(j.stable_hours for j in cases))


def rules(cases: Sequence[Judged]) -> list[str]:
    """Names of the rules that were judged, kvwatch first."""
    names = {v.rule for j in cases for v in j.verdicts}
    return [KVWATCH, *sorted(names - {KVWATCH})]


def usable_rivals(cases: Sequence[Judged]) -> list[str]:
    """Rivals that could be used as a page, by their false ones."""
    return [r for r in rules(cases)[1:] if false_pages(cases, r).per_1000_hours <= USABLE_PER_1000_HOURS]


def best_rival(cases: Sequence[Judged], among: Sequence[str]) -> str | None:
    """The one with the highest median lead."""
    found = {rule: median([lead(j, rule) for j in cases]) for rule in among} if cases else {}
    return max(found, key=lambda rule: found[rule], default=None)


def ahead(cases: Sequence[Judged], rival: str) -> float:
    """Median over the cases of how much earlier kvwatch pages [s]."""
    return median([lead(j, KVWATCH) - lead(j, rival) for j in cases])


def required_lead(minutes: int) -> float:
    """What kvwatch has to be ahead by on a ramp of that length [s]."""
    return min(LEAD_RATIO * 60 * minutes, LEAD_SECONDS)


def claims(cases: Sequence[Judged]) -> list[Claim]:
    """The claims, one a ramp length and one each for misses, false pages and hours."""
    found = []
    fields = {"of all": rules(cases)[1:], "that can be used": usable_rivals(cases)}
    for minutes, (whose, field) in product(RAMP_MINUTES, fields.items()):
        ramps = overloaded(cases, "ramp", minutes)
        rival = best_rival(ramps, field)
        if rival is not None:
            gained, needed = ahead(ramps, rival), required_lead(minutes)
            said = f"{gained:.0f} s over {rival} ({len(ramps)} runs)"
            words = f"ramp of {minutes} min: ahead of the best rival {whose} by {needed:.0f} s"
            found.append(Claim(words, said, gained >= needed))
    ramps = overloaded(cases, "ramp")
    if ramps:
        missed = sum(lead(j, KVWATCH) <= 0 for j in ramps)
        said = f"{missed} of {len(ramps)}"
        found.append(Claim("ramps missed: 1% at most", said, missed <= MISSED_RATIO * len(ramps)))
    false = false_pages(cases, KVWATCH)
    said = f"{false.per_1000_hours:.2f} ({false.pages} in {false.hours:.0f} h)"
    rate_holds = false.per_1000_hours <= FALSE_PER_1000_HOURS
    found.append(Claim(f"false pages at ρ ≤ {STABLE_UP_TO}: 1 in 1,000 hours at most", said, rate_holds))
    enough = false.hours >= LEAST_STABLE_HOURS
    found.append(Claim("stable hours simulated: 3,000 at least", f"{false.hours:.0f}", enough))
    return found
