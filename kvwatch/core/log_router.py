"""Which engine is a fact from a log about? Logs are a server's, or a gateway's; engines are shown by scrapes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from kvwatch.core.engine import EngineEstimator
from kvwatch.facts import EngineKey, Iteration, RequestAborted, RequestRecord, RequestStarted

_MAX_EARLY = 4096
"""Facts from logs that are held until a scrape has shown which engines there are [lines]. Choice: memory; some seconds
of the busiest log."""

Logged = RequestRecord | RequestStarted | RequestAborted | Iteration
Engines = Mapping[EngineKey, EngineEstimator]


class LogRouter:
    """Hands the facts of one target's logs to its engines; those that come before any engine is known wait."""

    def __init__(self) -> None:
        self._early: deque[Logged] = deque(maxlen=_MAX_EARLY)
        self.unattributed = 0
        """Facts that could belong to several engines, or to none of these."""

    def take(self, fact: Logged, engines: Engines, shown: Collection[EngineKey], now: float) -> None:
        """Take a fact; ``shown`` are the engines of the newest scrape, whose time is ``now`` [unix s]."""
        if engines:
            self._hand_on(fact, engines, shown, now)
        else:
            self._early.append(fact)

    def take_early(self, engines: Engines, shown: Collection[EngineKey], now: float) -> None:
        """Hand on what has waited, once there are engines."""
        while self._early and engines:
            self._hand_on(self._early.popleft(), engines, shown, now)

    def _hand_on(self, fact: Logged, engines: Engines, shown: Collection[EngineKey], now: float) -> None:
        """Hand a fact to the engine that it is about.

        A request that several engines of one model may have served shows the lengths that all of them are sent,
        and of no single one's arrivals.
        """
        served_by = _served_by(fact, engines, shown)
        now = now if now > 0 else float("inf")
        if isinstance(fact, RequestRecord):
            for engine in served_by:
                engine.observe_request(fact, now, 1 / len(served_by))
            self.unattributed += not served_by
        elif len(served_by) != 1:
            self.unattributed += 1
        elif isinstance(fact, Iteration):
            served_by[0].observe_iteration(fact)
        else:
            served_by[0].observe_start(fact, now)


def _served_by(fact: Logged, engines: Engines, shown: Collection[EngineKey]) -> list[EngineEstimator]:
    """Engines that a fact may be about, of one model; none where it may be several models' or one not watched yet."""
    if fact.engine is None and getattr(fact, "model_name", None) is None and len(engines) == 1 >= len(shown):
        return list(engines.values())
    model_name = fact.model_name if isinstance(fact, RequestRecord) else None
    found = [key for key in shown if fact.engine in (None, key.engine) and model_name in (None, key.model_name)]
    is_known = len({key.model_name for key in found}) == 1 and all(key in engines for key in found)
    return [engines[key] for key in found] if is_known else []
