"""The settings of one engine as they are known now: what sources report, beside what its own metrics show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvwatch.constants import LATEST_UNIX_SECONDS
from kvwatch.core.cause import CREATED_RESOLUTION_SECONDS, Cause
from kvwatch.core.interval import Interval
from kvwatch.core.settings.full_steps import step_tokens
from kvwatch.core.settings.queued import QueuedScrapes
from kvwatch.core.settings.standing_batch import Standing, standing
from kvwatch.core.settings.weigh import Measured, Weighed, weigh
from kvwatch.facts import VLLM, EngineSample, Settings, SettingSource

_SEATS_TAKEN_RATIO = 0.95
"""Of the seats in use in the mean from which on they are not free [1]. Choice: where they bind, no more are empty than
finish in a step."""
_MOST_REQUESTS = 2**31
"""Largest number of requests or tokens that is taken up from a state [1]. Choice: as in the configuration."""


@dataclass(slots=True)
class _Saved:
    """What was measured of a server before kvwatch restarted, and how to know that server again."""

    measured: Measured
    created_at: float | None
    finished: float | None

    def is_of(self, sample: EngineSample) -> bool:
        """Whether the sample is of the same process; one whose counters have gone on is taken to be."""
        if self.created_at is not None and sample.created_at is not None:
            return abs(sample.created_at - self.created_at) <= CREATED_RESOLUTION_SECONDS
        if self.finished is None or sample.finished is None:
            return False
        return sample.finished >= self.finished


class SettingsWatch:
    """Takes reports and intervals, and says what to compute with.

    What is measured holds until the server restarts or shows more than it allows.
    """

    def __init__(self) -> None:
        self._reports: dict[SettingSource, Settings] = {}
        self._queued = QueuedScrapes()
        self._measured = Measured()
        self._saved: _Saved | None = None
        self._last: EngineSample | None = None
        self._server = VLLM
        self._weighed: Weighed = weigh({}, self._measured)

    def get(self, _now: float) -> Weighed:
        """The settings as they are known now."""
        return self._weighed

    def report(self, reports: Mapping[SettingSource, Settings]) -> None:
        """Take all that sources outside of the engine's own metrics say."""
        own = self._reports.get(SettingSource.EXPOSITION)
        self._reports = dict(reports) if own is None else {**reports, SettingSource.EXPOSITION: own}
        self._weighed = weigh(self._reports, self._measured, self._server)

    def begin_anew(self, cause: Cause) -> None:
        """Another process has other settings; a mass abort leaves no queue of before."""
        if cause is Cause.RESTART:
            self._measured = Measured()
            self._weighed = weigh(self._reports, self._measured, self._server)
        if cause.changes_requests:
            self._queued.begin_anew()

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        sample = self._last = interval.sample
        before = self._measured, self._reports.get(SettingSource.EXPOSITION), self._server
        self._server = sample.server
        if self._saved is not None:
            if self._saved.is_of(sample):
                self._measured = self._saved.measured
            self._saved = None
        if sample.max_num_seqs is not None or sample.max_num_batched_tokens is not None:
            self._reports[SettingSource.EXPOSITION] = Settings(
                _whole(sample.max_num_seqs),
                _whole(sample.max_num_batched_tokens),
                source=SettingSource.EXPOSITION,
            )
        self._measure(interval)
        if before != (self._measured, self._reports.get(SettingSource.EXPOSITION), self._server):
            self._weighed = weigh(self._reports, self._measured, self._server)

    def _measure(self, interval: Interval) -> None:
        before = self._measured
        most_running = max(before.most_running, int(interval.running[1] or 0))
        seats = before.seats if before.seats is not None and before.seats.seats >= most_running else None
        if before.seats is not None and not before.seats.exact:
            seats = before.seats  # good to some, in both directions
        budget, floor = before.budget, before.budget_floor
        speculative = bool(interval.sample.spec_decode_drafts)
        if self._queued.update(interval) and (queued := self._queued.newest()):
            known = self._weighed.settings
            seats = standing(queued, known.max_num_batched_tokens) or seats
            running = sum(q.running + q.finished / q.steps for q in queued) / len(queued)
            limit = seats.seats if seats is not None else known.max_num_seqs
            free = limit is None or running < _SEATS_TAKEN_RATIO * limit
            found = None if speculative else step_tokens(queued, self._queued.longest_prompt, seats_free=free)
            if found is not None:
                floor = max(floor, found.floor)
                budget = found.budget or budget
        if budget is not None and budget < floor:
            budget = None
        self._measured = Measured(seats, most_running, budget, floor)

    def dump(self) -> dict[str, object] | None:
        """What was measured, and of which process; ``None`` where nothing was."""
        saved, sample = self._saved, self._last
        if saved is None and sample is not None:
            saved = _Saved(self._measured, sample.created_at, sample.finished)
        if saved is None or saved.measured == Measured():
            return None
        m = saved.measured
        return {
            "seats": m.seats.seats if m.seats is not None else None,
            "exact": m.seats.exact if m.seats is not None else True,
            "most_running": m.most_running,
            "budget": m.budget,
            "budget_floor": m.budget_floor,
            "created_at": saved.created_at,
            "finished": saved.finished,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state, to be used if the first sample is of the same process.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        seats, budget, exact = _count(state["seats"]), _count(state["budget"]), state["exact"]
        most_running, floor = _count(state["most_running"]), _number(state["budget_floor"])
        if not isinstance(exact, bool) or most_running is None or floor is None or floor > _MOST_REQUESTS:
            raise ValueError("settings out of range")
        standing_batch = Standing(seats, exact) if seats is not None else None
        created_at = _number(state["created_at"])
        if created_at is not None and created_at > LATEST_UNIX_SECONDS:
            raise ValueError("a server from the future")
        measured = Measured(standing_batch, most_running, budget, floor)
        self._saved = _Saved(measured, created_at, _number(state["finished"]))


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and 1 <= value <= _MOST_REQUESTS and value == int(value) else None


def _count(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MOST_REQUESTS:
        raise ValueError("a count out of range")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError("a number out of range")
    return float(value)
