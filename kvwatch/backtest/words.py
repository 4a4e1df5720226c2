"""The sentences of a report."""

from __future__ import annotations

from datetime import UTC, datetime

from kvwatch.backtest.coarse import Cost
from kvwatch.backtest.incidents import Incident
from kvwatch.backtest.judge import HORIZON_SECONDS, Outcome, Page, Score
from kvwatch.backtest.report import Report, Side, model_name
from kvwatch.constants import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS

LIMIT_WORDS = {"kv": "KV-cache memory", "seqs": "seats (max_num_seqs)", "tokens": "token budget"}
"""What binds, by the value of the label ``limit``."""


def duration(seconds: float) -> str:
    """A duration in the two units that matter."""
    seconds = round(abs(seconds))
    if seconds < MINUTE_SECONDS:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, round(MINUTE_SECONDS))
    if seconds < HOUR_SECONDS:
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    if seconds < DAY_SECONDS:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{days} d" + (f" {hours} h" if hours else "")


def moment(at: float, *, date: bool = True) -> str:
    """A time of day in UTC, with the day."""
    return datetime.fromtimestamp(round(at), UTC).strftime("%a %d %b %Y %H:%M:%S" if date else "%H:%M:%S")


def times(count: int) -> str:
    """How often, in words."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def verdict(side: Side) -> str:
    """What a set of rules did, in a sentence: ``paged twice: once before the queue, …``."""
    score = side.score
    if not score.pages:
        missed = f", while requests queued {times(score.incidents)}" if score.incidents else ""
        return f"paged never{missed}"
    return f"paged {once_or_more(score)}"


def once_or_more(score: Score) -> str:
    """How often pages came and when: ``once, 6 min before the queue; false: 0``."""
    if score.pages != 1:
        return f"{times(score.pages)}: {outcomes(score)}"
    if score.before and score.leads:
        when = f"{duration(score.leads[0])} before the queue"
    elif score.after and score.late:
        when = f"{duration(score.late[0])} after the queue began"
    elif score.averted:
        when = "and no queue came where an engine was added"
    elif score.open:
        when = "too close to the end to know"
    else:
        when = "before no queue" if score.false else "during a queue"
    return f"once, {when}; false: {score.false}"


def outcomes(score: Score) -> str:
    """How many pages came when, those for nothing always among them."""
    parts = []
    if score.before:
        lead = score.median_lead_seconds
        parts.append(f"{score.before} before the queue" + (f" (median lead {duration(lead)})" if lead else ""))
    if score.after:
        parts.append(f"{score.after} after it" if score.before else f"{score.after} after the queue")
    if score.averted:
        parts.append(f"{score.averted} where an engine was added and no queue came")
    if score.open:
        parts.append(f"{score.open} too close to the end to know")
    parts.append(f"false: {score.false}")
    return ", ".join(parts)


def headline(report: Report) -> list[str]:
    """The whole of it in a sentence a side, and one on queues that nobody was paged about."""
    lines = [f"kvwatch would have {verdict(report.own)}."]
    if report.yours is not None:
        lines.append(f"Your rules {verdict(report.yours)}.")
    if not report.incidents:
        lines.append(f"No requests queued for {duration(report.queue_seconds)} or longer.")
    return lines


def page_words(page: Page) -> str:
    """What became of a page."""
    match page.outcome:
        case Outcome.BEFORE:
            return f"{duration(page.lead_seconds or 0)} before queue {page.incident}"
        case Outcome.AFTER:
            return f"{duration(page.lead_seconds or 0)} after queue {page.incident} began"
        case Outcome.AVERTED:
            return f"no queue; an engine was added {duration(page.added_after_seconds or 0)} later"
        case Outcome.FALSE:
            return f"no queue within {duration(HORIZON_SECONDS)}, and no engine was added"
        case Outcome.OPEN:
            return "the data ends too soon to know"


def rules_name(place: int) -> str:
    """What a set of rules is called where there is little room, by its place among the sides."""
    return "your rules" if place else "kvwatch"


def first_page(incident: Incident, side: Side) -> Page | None:
    """The first page of a set of rules about an incident; ``None`` without any."""
    about = [p for p in side.pages if p.model in (None, incident.model) and _is_about(p, incident)]
    return min(about, key=lambda page: page.spell.start, default=None)


def lead_words(incident: Incident, side: Side) -> str:
    """When a set of rules paged about an incident."""
    page = first_page(incident, side)
    if page is None:
        return "no page"
    lead = incident.spell.start - page.spell.start
    return f"{duration(lead)} {'before' if lead > 0 else 'after'}"


def _is_about(page: Page, incident: Incident) -> bool:
    within = page.spell.start < incident.spell.start <= page.spell.end
    return page.incident == incident.number or within


def incident_title(incident: Incident) -> str:
    """What happened, in a line."""
    going = " and still waiting at the end" if incident.open else ""
    return f"{model_name(incident.model)}: requests waited for {duration(incident.spell.seconds)}{going}"


def incident_facts(incident: Incident) -> list[tuple[str, str]]:
    """What was seen of an incident: names and values."""
    facts = [
        ("began", f"{moment(incident.spell.start)} UTC"),
        ("most waiting", f"{incident.peak_waiting:.0f}, at {moment(incident.peak_at, date=False)}"),
    ]
    if incident.ttft_p95 is not None:
        facts.append(("worst p95 time to first token", f"{incident.ttft_p95:.1f} s"))
    if incident.itl_p95 is not None:
        facts.append(("worst p95 between tokens", f"{1000 * incident.itl_p95:.0f} ms"))
    if incident.kv_usage is not None:
        facts.append(("fullest KV cache", f"{incident.kv_usage:.0%}"))
    if incident.utilization is not None:
        facts.append(("ρ as it began", f"{incident.utilization:.2f}"))
    if incident.limit is not None:
        facts.append(("bound by", LIMIT_WORDS.get(incident.limit, incident.limit)))
    if incident.engines is not None:
        facts.append(("engines", f"{incident.engines:.0f}"))
    facts.append(("waited in all", f"{incident.waited_seconds / HOUR_SECONDS:.1f} request-hours"))
    return facts


def cost_words(cost: Cost) -> str:
    """What scrapes so far apart cost, against one each second."""
    later = f"{duration(cost.page_delay_seconds)} later" if cost.page_delay_seconds > 0 else "no later"
    missed = (
        "none of them missed the queue for it" if not cost.missed_ratio else f"{cost.missed_ratio:.0%} came too late"
    )
    return (
        f"Scrapes {cost.interval_seconds:g} s apart are coarser than the one second at which kvwatch reads by itself. "
        f"On a handful of simulated ramps into overload the first page then came {later} in the median, and {missed}; "
        f"ρ was valid {cost.judged_ratio:.0%} as much of the time, and μ differed by {cost.service_rate_error:.0%} in "
        "the median "
        f"({cost.service_rate_error_p90:.0%} at the 90th percentile)."
    )
