"""What logs and traces say of single requests: one engine's part of it, each request once."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil, isfinite

from kvwatch.constants import CLOCK_SKEW_SECONDS, LATEST_UNIX_SECONDS
from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.joint_sample import JointSample
from kvwatch.core.traffic.log_check import LogCheck
from kvwatch.core.traffic.request_window import RequestWindow
from kvwatch.core.traffic.tenants import Tenants, TenantUses
from kvwatch.facts import RequestRecord
from kvwatch.queueing.demand import request_demand

_REMEMBERED = 4096
"""Records held against those that come again [records]. Choice: more than an exporter sends at a time (512 by default),
several times over."""
_LONGEST_REQUEST_TOKENS = 2**31
"""Tokens of a request from which on its record is damaged [tokens]. Choice: no model's context is within a thousand
times as long."""
_MILLISECONDS = 1000.0
"""Milliseconds of a second [1/s]. Definition."""
_STAMP_ROUNDING = 1e-3
"""How far, in milliseconds, a stamp of whole ones may lie from one [1]. Choice: doubles of today's times have steps of
a quarter of a microsecond."""


class RequestLog:
    """Takes the records of one engine's requests, in any order; memory is bounded whatever comes."""

    def __init__(self, window_seconds: float, top_tenants: int) -> None:
        self._window_seconds = window_seconds
        self._sizes = (0, 0)
        self._unlogged = 0.0
        self._seen: OrderedDict[RequestRecord, None] = OrderedDict()
        self._source: str | None = None
        self._source_newest = float("-inf")
        self._source_names_tenants = False
        self._check = LogCheck(window_seconds)
        self._contradicted = False
        self.changed_at = float("-inf")
        """When the traffic's mix last changed [unix s]."""
        self.window = RequestWindow(window_seconds)
        self.tenants = Tenants(window_seconds, top_tenants)

    def admit(self, record: RequestRecord, now: float) -> bool:
        """Whether a request counts; it is then taken by :meth:`update_request`, and by whoever else wants it.

        It does not if it has come before, ends in the future, or comes from another source than the one that leads.
        ``now`` is the newest scrape's time [unix s].
        """
        return record.finish <= now + CLOCK_SKEW_SECONDS and self._follow_source(record) and not self._remember(record)

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended, and counts."""
        record, sizes = ended.record, (ended.block_tokens, ended.chunk_tokens)
        self._unlogged = 0.0
        self.resize(sizes)
        s, o = record.prompt_tokens, record.completion_tokens
        if not record.completed or s < 1 or o < 1 or s + o > _LONGEST_REQUEST_TOKENS:
            self.tenants.update(record.finish, record.tenant, ended.share, None)
            return
        block, chunk = sizes
        g = request_demand(s, o, block, chunk)
        self._check.update_request(record.finish, ended.share, s, o)
        self.window.update(record.finish, max(record.finish - record.arrival, 0.0), s, o, g)
        asked = (g, ceil(s / chunk) + o - 1.0, s - min(record.cached_tokens, s) + o - 1.0)
        self.tenants.update(record.finish, record.tenant, ended.share, asked)

    def update(self, interval: Interval) -> None:
        """Take an interval: who finishes in it should show in the log."""
        self.resize(interval.sizes)
        if interval.cause in (Cause.RESTART, Cause.ABORTS):
            # what ended by then is no fair sample; what a log said before the first scrape, or our own restart, stays
            self.window.clear(interval.end)
        if interval.goes_on:
            self._unlogged += interval.lengths_count
        self._check.update(interval)
        self._contradicted = self._check.contradicts
        if self._contradicted:
            # which of them are true nobody knows, and the window reaches back an hour
            self.window.clear(interval.end)

    def begin_anew(self, cause: Cause) -> None:
        """Nothing to do: :meth:`update` knows from which time on requests count."""

    def resize(self, sizes: tuple[int, int]) -> None:
        """Blocks and prompt chunks have these sizes [tokens]."""
        if sizes != self._sizes:
            self.window.resize(*sizes)
            self._sizes = sizes

    def _follow_source(self, record: RequestRecord) -> bool:
        """Whether the record's source is the one that counts: two may report the same requests.

        The first does, until it has been silent for a window while the other speaks, or the other names tenants and it
        does not.
        """
        if record.source != self._source:
            silent = record.finish - self._source_newest > self._window_seconds
            better = bool(record.tenant) and not self._source_names_tenants
            if self._source is not None and not silent and not better:
                return False
            if self._source is not None:
                self.tenants.clear()
            self._source, self._source_newest, self._source_names_tenants = record.source, float("-inf"), False
        self._source_newest = max(self._source_newest, record.finish)
        self._source_names_tenants = self._source_names_tenants or bool(record.tenant)
        return True

    def _remember(self, record: RequestRecord) -> bool:
        """Whether the very same record came lately, as when an exporter repeats itself after a lost answer.

        Only stamps finer than a millisecond keep two requests of the same lengths apart.
        """
        if _is_coarse(record.finish) or _is_coarse(record.arrival):
            return False
        if record in self._seen:
            return True
        self._seen[record] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def sample(
        self, now: float, least: int, empty_at: float | None = None, reach: tuple[float, float] | None = None
    ) -> JointSample | None:
        """The requests that stand for the traffic; see :meth:`RequestWindow.sample`.

        ``None`` where there is no log, or it has stopped. A log is as quiet as its server: it has stopped when
        requests finish that it does not report. Nor does one count that contradicts the engine's counters.
        """
        if self._contradicted or self._check.contradicts:
            return None
        if self._unlogged and now - self.window.newest > self._window_seconds:
            return None
        return self.window.sample(now, self._sizes, least, empty_at, reach)

    def uses(self, now: float) -> TenantUses | None:
        """Who used the memory over the window before ``now``."""
        return self.tenants.get(now)

    def dump(self) -> dict[str, object]:
        """State as plain numbers, text and lists."""
        return {
            "sizes": list(self._sizes),
            "source": self._source,
            "changed_at": self.changed_at if isfinite(self.changed_at) else None,
            "window": self.window.dump(),
            "tenants": self.tenants.dump(),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        sizes, source, window, tenants = state["sizes"], state["source"], state["window"], state["tenants"]
        if not isinstance(window, dict) or not isinstance(tenants, dict) or not isinstance(sizes, list):
            raise TypeError("window and tenants must be objects")
        if source is not None and not isinstance(source, str):
            raise TypeError("source must be text")
        block, chunk = (int(size) for size in sizes)
        changed_at = float("-inf") if state["changed_at"] is None else float(state["changed_at"])  # type: ignore[arg-type]
        if min(block, chunk) < 0 or not changed_at < LATEST_UNIX_SECONDS:
            raise ValueError("sizes or times out of range")
        self.changed_at = changed_at
        self.window.restore(window)
        self.tenants.restore(tenants)
        self._sizes, self._source, self._source_newest = (block, chunk), source, self.window.newest
        self._source_names_tenants = self.tenants.named


def _is_coarse(at: float) -> bool:
    """Whether a stamp may be one of whole milliseconds, as far as a float of unix seconds can show."""
    part = at * _MILLISECONDS % 1
    return min(part, 1 - part) < _STAMP_ROUNDING
