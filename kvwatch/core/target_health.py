"""What is wrong with a target, as an operator reads it, and which of its engines hang."""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.core.engine_signs import one_state
from kvwatch.core.engine_state import EngineState
from kvwatch.facts import EngineKey, Scrape, ScrapeFailed
from kvwatch.views import EngineView

NO_METRICS = "it shows no metrics of vLLM or SGLang: is it one, with its metrics on?"
"""What is said of a target that answers with something else."""
Stalled = Mapping[EngineKey, float]
"""Engines with requests inside of which no counter moves, and the time of their newest samples [unix s]."""


def problem_of(last: Scrape | None, failure: ScrapeFailed | None, stalled: Stalled, *, stale: bool) -> str:
    """What is wrong with a target, by its last good scrape and a failure since then; empty where all is well."""
    if failure is not None:
        return f"{failure.reason}: {failure.detail}".rstrip(": ")
    if last is None:
        return "not scraped yet"
    if stale:
        return "stale"
    if stalled:
        return (
            f"engine {', '.join(key.engine for key in stalled)} shows requests inside, but no counter has moved for a "
            "minute: it hangs, or (vLLM 0.11 and 0.12) its gauges were not cleared when all requests were cancelled"
        )
    return last.refusal or ("" if last.engines else NO_METRICS)


def hung_engines(target: str, stalled: Stalled, now: float, stale_after_seconds: float) -> tuple[EngineView, ...]:
    """Engines that hang while their server answers: their state, and nothing else."""
    state = one_state(EngineState.HUNG)
    return tuple(
        EngineView(target, key.model_name, key.engine, engine_state=state)
        for key, last_at in stalled.items()
        if now - last_at <= stale_after_seconds
    )
