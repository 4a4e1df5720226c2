"""Does the queue stand although the engine should serve it? What the rates alone would call idle, or draining.

While requests wait for capacity, what is served is the service rate. Where it is less than half of μ, the engine is
held up by something else than its load: one request that never ends in the last of the memory, a device that throttles,
a rank that is gone. Requests that are deferred wait for something outside (a KV transfer, a LoRA slot); where their
number stays the same for minutes, nobody works on them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.cause import Cause
from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval
from kvwatch.core.traffic.turnover import NEWS

SERVED_RATIO = 0.5
"""Share of μ that is served under a queue, below which the queue stands [1]. Choice: evictions cost a full engine 27%
at most (bench/congestion), and μ errs by less than the rest in every case of bench/accuracy."""
_JUDGED_SECONDS = 15.0
"""Length of a spell of waiting from which it is judged [s]. Choice: the longest steps and prompts take some seconds."""
_JUDGED_REQUESTS = 20.0
"""Requests that μ promises in a spell that is long enough to be judged either way [requests]. Choice: half of twenty is
no accident, as work is counted in tokens, which come more evenly than requests."""
_SURE_DEVIATIONS = 2.0
"""Standard deviations of a Poisson number by which a shorter spell must lack requests [sd]. Choice: so eight that are
promised and none that is served are enough."""
_UNSERVED_LIVES = 3.0
"""Mean lives without a request that finishes, while others wait, after which the queue stands [1]. Choice: requests
with three times the mean output are few; where all that run are such, those behind them do stand."""
_UNSERVED_SECONDS = (MINUTE_SECONDS, 5 * MINUTE_SECONDS)
"""Least time for that, and time after which it is so whatever the mean life is, or where none is known [s]. Choice: a
minute, as for a hang; and no one waits behind others for five without noticing."""
_NEXT_RATIO = 1.1
"""Length of a spell over that of the one before it that is judged [1]. Choice: forty of them reach from seconds to ten
minutes."""
_PARKED_SECONDS = 5 * MINUTE_SECONDS
"""Time for which the number of deferred requests stays the same before they count as parked [s]. Choice: where they are
served, the number changes with each; transfers and LoRA slots take seconds."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of those that wait.

    Attributes:
        waiting_seconds: How long some have waited for capacity without a pause; 0 where none wait.
        parked_seconds: How long the number of those that are deferred or passed over has been the same, above 0.
        unserved: Whether no request has finished for minutes while others waited for capacity.
        served: (length [s], requests that were served) of the last parts of that wait, the shortest first.
    """

    waiting_seconds: float = 0.0
    parked_seconds: float = 0.0
    unserved: bool = False
    served: tuple[tuple[float, float], ...] = ()

    def seconds(self, service_rate: float | None) -> float | None:
        """How long requests have waited without being served as μ says [s]; ``None`` where the queue does not stand."""
        held_up = self.waiting_seconds if self.is_held_up(service_rate) else 0.0
        parked = self.parked_seconds if self.parked_seconds >= _PARKED_SECONDS else 0.0
        return max(held_up, parked) or None

    def is_held_up(self, service_rate: float | None) -> bool:
        """Whether those that wait for capacity are not served, or not as μ says: it cannot be right then."""
        return self.unserved or (service_rate is not None and self._refutes(service_rate))

    def _refutes(self, service_rate: float) -> bool:
        """Whether under this queue so little is served that μ cannot be right: by the shortest part that can say."""
        for seconds, served in self.served:
            least = SERVED_RATIO * service_rate * seconds
            if service_rate * seconds >= _JUDGED_REQUESTS:
                return served < least
            if served < least - _SURE_DEVIATIONS * sqrt(least):
                return True
        return False


class _Done(NamedTuple):
    """Length [s] and work of one interval [tokens]."""

    seconds: float
    generated: float
    prompts: float


class StandingQueue:
    """Follows spells in which requests wait without a pause. Bounded: 600 intervals."""

    def __init__(self) -> None:
        self._done: deque[_Done] = deque(maxlen=MOST_KEPT_INTERVALS)
        self._since: float | None = None
        self._served_at = float("-inf")
        self._lives = 0.0
        """Mean lives that have passed since a request finished, in this spell."""
        self._output_tokens = self._prompt_tokens = 0.0
        """What the mean request asks for, of those that finished lately [tokens]; 0 while none has."""
        self._deferred = 0.0
        self._deferred_since = float("-inf")

    def update(self, interval: Interval) -> None:
        """Take an interval; one at whose ends nothing waits for capacity ends the spell, as does a sleeping engine."""
        sample, at = interval.sample, interval.end
        parked = (sample.waiting_deferred or 0.0) + interval.passed_over
        if parked != self._deferred:
            self._deferred, self._deferred_since = parked, at
        self._learn(interval)
        if not interval.goes_on or not all(interval.waiting) or interval.generation_tokens is None or sample.asleep:
            self._end()
            return
        if self._since is None:
            self._since = interval.start
        if interval.finished or (interval.finished is None and interval.generation_tokens):
            self._served_at, self._lives = at, 0.0  # who finishes is not shown: what is generated is for somebody
        elif interval.step_seconds and self._output_tokens:
            self._lives += interval.seconds / (interval.step_seconds * self._output_tokens)
        if interval.finished and not interval.waits_for_capacity:
            self._done.clear()  # it serves others past those that wait: for something else, by the look of it
            return
        self._done.append(_Done(interval.seconds, interval.generation_tokens, interval.prompt_tokens or 0.0))

    def _learn(self, interval: Interval) -> None:
        """Take the lengths of those that finished."""
        count = interval.lengths_count
        if not count or not interval.representative:
            return
        output, prompt = interval.lengths_output_tokens / count, interval.lengths_prompt_tokens / count
        weight = 1 - (1 - NEWS) ** count if self._output_tokens else 1.0
        self._output_tokens += weight * (output - self._output_tokens)
        self._prompt_tokens += weight * (prompt - self._prompt_tokens)

    def begin_anew(self, cause: Cause) -> None:
        """Who waits after a restart or a mass abort has not waited since before."""
        if cause.changes_requests:
            self._end()
            self._deferred = 0.0

    def _end(self) -> None:
        self._since, self._lives = None, 0.0
        self._done.clear()

    def get(self, now: float) -> Standing:
        """What is known of those that wait."""
        parked = now - self._deferred_since if self._deferred else 0.0
        if self._since is None:
            return Standing(parked_seconds=parked)
        seconds, (least, most) = now - max(self._since, self._served_at), _UNSERVED_SECONDS
        unserved = seconds >= most or (seconds >= least and self._lives >= _UNSERVED_LIVES)
        return Standing(now - self._since, parked, unserved, self._served())

    def _served(self) -> tuple[tuple[float, float], ...]:
        """What was served over the last parts of the wait.

        Requests are counted by the tokens that were generated or by the prompts that were done, whichever shows
        more: a burst of long prompts holds back the one, long answers the other.
        """
        if not self._output_tokens:
            return ()
        parts: list[tuple[float, float]] = []
        seconds = generated = prompts = 0.0
        for done in reversed(self._done):
            seconds, generated, prompts = seconds + done.seconds, generated + done.generated, prompts + done.prompts
            if seconds >= (parts[-1][0] * _NEXT_RATIO if parts else _JUDGED_SECONDS):
                parts.append((seconds, max(generated / self._output_tokens, prompts / max(self._prompt_tokens, 1.0))))
        return tuple(parts)
