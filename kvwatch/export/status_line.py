"""One engine in one line, as ``kvwatch status`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.core.engine_state import EngineState
from kvwatch.export.sentences import round_time, sentence, why_so_many
from kvwatch.export.summary import SHORT_LIMIT_WORDS, SLO_WORDS, Summary
from kvwatch.export.words import rate

_VERBS = {SHORT_LIMIT_WORDS["seqs"]: "bind"}
"""Limits in the plural; the others bind one by one."""


def status_line(summary: Summary) -> str:
    """``12.0 of 17.5 req/s (69%), seats bind, full in 14 min; +9% at 128 seats``: what is known, in that order."""
    now = ", ".join(_now(summary))
    advice = (
        f"{summary.gain:+.0%} at {summary.seats:.0f} seats (a restart)"
        if summary.seats and summary.gain is not None
        else ""
    )
    parts = (now, advice or _need(summary), _replicas(summary), *summary.corrections)
    return "; ".join(part for part in parts if part)


def _now(summary: Summary) -> Iterator[str]:
    if summary.state is EngineState.HUNG:
        yield sentence(summary).rstrip(".")
        return
    yield _rates(summary)
    if summary.binds is not None:
        yield f"{summary.binds} {_VERBS.get(summary.binds, 'binds')}"
    if summary.slo is not None and summary.slo_rate is not None:
        yield f"{SLO_WORDS[summary.slo]} target met up to {rate(summary.slo_rate)} req/s"
    if summary.waiting:
        yield f"{summary.waiting:,.0f} wait"
    if summary.state is EngineState.EVICTING and summary.loss:
        yield f"{summary.loss:.0%} lost to evictions"
    if summary.state is not EngineState.OVERLOADED and summary.drain_seconds is not None:
        yield f"empty in {round_time(summary.drain_seconds)}"
    if summary.state is EngineState.APPROACHING and summary.seconds_to_limit:
        yield f"full in {round_time(summary.seconds_to_limit)}"


def _rates(summary: Summary) -> str:
    arrives, serves = summary.arrival_rate, summary.service_rate
    if serves is None:
        return f"{rate(arrives)} req/s" if arrives is not None else "arrivals not known yet"
    if arrives is None:
        return f"can serve {rate(serves)} req/s"
    load = f" ({summary.load:.0%})" if summary.load is not None else ""
    return f"{rate(arrives)} of {rate(serves)} req/s{load}"


def _need(summary: Summary) -> str:
    """What is missing for more, where the rate it can serve is not known."""
    return summary.doubts[0] if summary.service_rate is None and summary.doubts else ""


def _replicas(summary: Summary) -> str:
    """How many replicas are needed, where there are fewer."""
    required, there = summary.replicas_required, summary.replicas
    if required is None or there is None or required <= there:
        return ""
    return f"{required:.0f} replicas needed{why_so_many(summary)}, {there:.0f} now"
