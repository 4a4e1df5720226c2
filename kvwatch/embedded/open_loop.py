"""An engine under a steady load, in virtual time: how long requests wait, and what they see of the engine's steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from kvwatch.embedded.engine import Engine, StepRecord
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival, Drawn, Segment, arrivals

if TYPE_CHECKING:
    from kvwatch.embedded.coarse_engine import CoarseEngine
    from kvwatch.embedded.settings import RequestShape, SchedulerSettings

Array = npt.NDArray[np.float64]

_WARM_UP_RATIO = 0.25
"""Requests that come before those that are measured, over these [1]. Choice: the run begins empty; a quarter of what is
measured lets the batch fill, and is what it costs."""
_END_SECONDS = 1.0
"""Step in which the run goes on until all that are measured have ended [s]. Choice: short beside any run."""
_AMOUNTS_HELD = 64
"""Amounts of memory held, apart evenly from none to all, at which a law is asked [1]. Choice: laws bend over all of the
memory, so that between two amounts a straight line is off by some thousandths at most."""
_MOST_ENDS = 3600
"""How often at most [steps]. Choice: an hour more; in an engine that takes more than it serves some never end."""


class StepSeconds(Protocol):
    """A step law: seconds of a step from what is in it; the last is the share of it that is prefill, 0 or 1."""

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        ...


class LawClock(StepClock):
    """Steps that take as long as a law says, in an engine with memory for ``kv_tokens``.

    A fitted law takes longer to ask than a step to schedule. Most steps only decode, and differ by how many requests
    do and by what these hold; between two amounts held, the law is taken to be straight.
    """

    def __init__(self, law: StepSeconds, kv_tokens: float) -> None:
        super().__init__(StepLaw(1.0))  # never asked: every step is drawn by the law given here
        self._seconds = law
        self._apart = max(kv_tokens / _AMOUNTS_HELD, 1.0)
        self._decode_only: dict[tuple[int, int], float] = {}
        """Seconds by the number that decode, and by the place of the amount held."""

    def draw(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> tuple[float, float]:
        """A step's duration, and no gap after it [s]."""
        if prefill_tokens:
            return self._seconds.step_seconds(decoding, prefill_tokens, resident_tokens, 1.0), 0.0
        place, beyond = divmod(resident_tokens / self._apart, 1.0)
        below, above = self._at(decoding, int(place)), self._at(decoding, int(place) + 1)
        return below + beyond * (above - below), 0.0

    def _at(self, decoding: int, place: int) -> float:
        found = self._decode_only.get((decoding, place))
        if found is None:
            found = self._seconds.step_seconds(decoding, 0.0, place * self._apart, 0.0)
            self._decode_only[decoding, place] = found
        return found


@dataclass(frozen=True, slots=True)
class Latencies:
    """What the measured requests saw [s]: waiting, until the first token, and between two tokens of an output.

    ``between_seconds`` are durations of steps, of which each counts as often as ``between_counts`` says: once for each
    request that got a token in it. ``coarse_seconds`` are the waits of the same requests in the coarse engine,
    and none where none was given.
    """

    wait_seconds: Array
    first_token_seconds: Array
    between_seconds: Array
    between_counts: Array
    mean_running: float
    coarse_seconds: Array

    def wait(self, share: float) -> float:
        """The waiting time that this share of the requests does not exceed [s]."""
        return float(np.quantile(self.wait_seconds, share))

    def first_token(self, share: float) -> float:
        """The same of the time to the first token."""
        return float(np.quantile(self.first_token_seconds, share))

    def between(self, share: float) -> float:
        """The same of the time between two tokens."""
        return weighted_quantile(self.between_seconds, self.between_counts, share)


def open_loop(  # noqa: PLR0913 (an experiment has that many conditions)
    pool: Sequence[RequestShape],
    settings: SchedulerSettings,
    law: StepSeconds,
    rate: float,
    *,
    requests: int,
    burstiness: float = 1.0,
    seed: int = 0,
    async_scheduling: bool = False,
    coarse: CoarseEngine | None = None,
) -> Latencies:
    """Let ``requests`` come at ``rate`` [requests/s] and be served, after as many as fill the engine.

    ``burstiness`` is the coefficient of variation of the times between arrivals, 1 for Poisson's; with
    ``async_scheduling`` a step is composed while the one before begins to run. ``coarse`` is asked how long the same
    requests wait.

    Raises:
        ValueError: The pool is empty, the rate is not positive, or a request could never run.
    """
    if not pool or rate <= 0 or requests < 1:
        raise ValueError(f"no load: {len(pool)} shapes, {rate} requests a second, {requests} requests")
    before = int(_WARM_UP_RATIO * requests) + 1
    steps: list[tuple[float, float, int]] = []

    def note(step: StepRecord) -> None:
        steps.append((step.start, step.elapsed_seconds, step.generation_requests))

    seconds = (before + requests) / rate
    stream = arrivals([Segment(2 * seconds, rate, rate)], Drawn(tuple(pool)), seed=seed, burstiness=burstiness)
    came: list[Arrival] = []
    clock = LawClock(law, settings.kv_capacity_tokens)
    engine = Engine(settings, clock, _noted(stream, came), async_scheduling=async_scheduling, on_step=note)
    ended = []
    for turn in range(_MOST_ENDS):
        engine.advance(seconds + turn * _END_SECONDS)
        ended += engine.take_ended()
        if sum(before < request.identity <= before + requests for request in ended) >= requests:
            break
    measured = [r for r in ended if before < r.identity <= before + requests and r.first_token is not None]
    if not measured:
        raise ValueError("no request was served within an hour")
    first = min(r.arrival for r in measured)
    last = max(r.arrival for r in measured)
    seen = [(elapsed, count) for start, elapsed, count in steps if first <= start <= last and count]
    lasted, made = np.array([step[0] for step in seen]), np.array([step[1] for step in seen])
    return Latencies(
        wait_seconds=np.array([(r.first_scheduled or r.arrival) - r.arrival for r in measured]),
        first_token_seconds=np.array([(r.first_token or r.arrival) - r.arrival for r in measured]),
        between_seconds=lasted,
        between_counts=made,
        mean_running=float(np.average(made, weights=lasted)) if lasted.sum() > 0 else 0.0,
        coarse_seconds=np.empty(0)
        if coarse is None
        else _waits(coarse, pool, came)[[r.identity - 1 for r in measured]],
    )


def _noted(stream: Iterable[Arrival], came: list[Arrival]) -> Iterator[Arrival]:
    for arrival in stream:
        came.append(arrival)
        yield arrival


def _waits(coarse: CoarseEngine, pool: Sequence[RequestShape], came: Sequence[Arrival]) -> Array:
    """Coarse waits of all that came; a request's identity is its place among them, from 1."""
    places = {shape: place for place, shape in enumerate(pool)}
    return coarse.waits([arrival.at for arrival in came], [places[arrival.shape] for arrival in came])


def weighted_quantile(values: Array, counts: Array, share: float) -> float:
    """The value that this share of all, each counted as often as ``counts`` says, does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    place = int(np.searchsorted(reached, share * reached[-1]))
    return float(values[order][min(place, len(order) - 1)])
