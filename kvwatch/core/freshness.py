"""Is what is known of an engine fresh, may it be missed, or is it gone for good?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kvwatch.core.engine import EngineEstimator
from kvwatch.facts import EngineKey

_FORGET_SECONDS = 600.0
"""Time after which an engine that a server has stopped exporting is forgotten, and one of a server that does not answer
no longer waited for [s]. Choice: as long as the recording rules wait; a restart with a large model takes some
minutes."""


def is_stale(engine: EngineEstimator, now: float, stale_after_seconds: float) -> bool:
    """Whether its numbers are too old to be shown at ``now`` [unix s], or it hangs."""
    return now - engine.seen_at > stale_after_seconds or engine.progress.get(now)


def gone(
    engines: Mapping[EngineKey, EngineEstimator], shown: Collection[EngineKey], now: float, stale_after_seconds: float
) -> list[EngineKey]:
    """Engines that are gone for good, by those that the server shows now.

    One that is renamed, for there are several of its number now, is not missing either.
    """
    renamed = {EngineKey(key.model_name, key.engine.partition("@")[0]) for key in shown} - set(shown)
    return [k for k, engine in engines.items() if k in renamed or _is_forgotten(engine, now, stale_after_seconds)]


def _is_forgotten(engine: EngineEstimator, now: float, stale_after_seconds: float) -> bool:
    """Whether an engine that is no longer shown is gone for good; one that hardly was has nothing to be missed.

    So a server that makes up names, scrape after scrape, neither takes all places nor counts as a fleet.
    """
    shown_seconds = engine.seen_at - engine.first_at
    return now - engine.seen_at > (_FORGET_SECONDS if shown_seconds > stale_after_seconds else stale_after_seconds)


def is_withheld(engine: EngineEstimator, now: float, stale_after_seconds: float) -> bool:
    """Whether it may have traffic that is not seen; not one of a state file that this process has never read."""
    return is_stale(engine, now, stale_after_seconds) and now - engine.seen_at <= _FORGET_SECONDS
