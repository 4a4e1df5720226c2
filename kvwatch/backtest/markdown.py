"""The report to paste into a ticket or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.backtest.report import Report, Side, model_name
from kvwatch.backtest.words import (
    cost_words,
    duration,
    headline,
    incident_title,
    lead_words,
    moment,
    once_or_more,
    page_words,
)


def as_markdown(report: Report) -> str:
    """The report, in lines."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# kvwatch backtest"
    yield ""
    yield f"{duration(report.span.seconds)} from {moment(report.span.start)} UTC; {report.source}."
    yield ""
    yield from (f"**{line}**" for line in headline(report))
    if report.incidents:
        yield from ("", "## Queues", "")
        names = [side.name for side in report.sides]
        yield _row("queue", "began (UTC)", "what", "most waiting", "worst p95 TTFT", *names)
        yield _row(*["---"] * (5 + len(names)))
        for i in report.incidents:
            ttft = "–" if i.ttft_p95 is None else f"{i.ttft_p95:.1f} s"
            leads = (lead_words(i, side) for side in report.sides)
            yield _row(str(i.number), moment(i.spell.start), incident_title(i), f"{i.peak_waiting:.0f}", ttft, *leads)
    for side in report.sides:
        yield from _side(side)
    yield from ("", "## What there was to look at", "")
    yield from (f"{cost_words(cost)}\n" for cost in report.costs)
    yield _row("server", "scraped every", "scrapes", "failed", "gaps", "restarts", "time with a valid ρ")
    yield _row(*["---"] * 7)
    for c in report.coverage:
        judged = "–" if c.judged_ratio is None else f"{c.judged_ratio:.0%}"
        counts = (str(n) for n in (c.scrapes, c.failed, c.gap_count, c.restarts))
        yield _row(c.name, f"{c.interval_seconds:.3g} s", *counts, judged)


def _side(side: Side) -> Iterator[str]:
    yield from ("", f"## Pages of {side.name}", "")
    if side.pages:
        yield _row("page", "began (UTC)", "lasted", "model", "alerts", "what became of it")
        yield _row(*["---"] * 6)
    else:
        yield "None."
    for page in side.pages:
        yield _row(
            str(page.number),
            moment(page.spell.start),
            duration(page.spell.seconds),
            model_name(page.model),
            ", ".join(page.alerts),
            page_words(page),
        )
    for name, score in sorted((side.by_alert or {}).items()):
        did = f"paged {once_or_more(score)}" if score.pages else "did not fire"
        yield f"\n- {name}: {did}"
    for name, reason in side.not_evaluated:
        yield f"\n- {name} could not be evaluated: {reason}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
