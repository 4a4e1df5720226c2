"""What logs and traces tell of single requests: one engine's part of it, each request once."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil, isfinite

from kvwatch.core.request_window import JointSample, RequestWindow
from kvwatch.core.tenants import Tenants, TenantUses
from kvwatch.facts import RequestRecord
from kvwatch.queueing.demand import request_demand

_REMEMBERED = 4096
"""Records held against those that come again; more than an exporter sends at a time."""
_AHEAD_SECONDS = 60.0
"""Records that end farther in the future come from a clock that is not this one."""
_LONGEST_REQUEST_TOKENS = 2**31


class RequestLog:
    """Takes the records of one engine's requests, in any order; memory is bounded whatever comes."""

    def __init__(self, window_seconds: float, top_tenants: int) -> None:
        self._window_seconds = window_seconds
        self._sizes = (0, 0)
        self._seen: OrderedDict[RequestRecord, None] = OrderedDict()
        self._source: str | None = None
        self._source_newest = float("-inf")
        self._source_names_tenants = False
        self.changed_at = float("-inf")
        """When the traffic's mix last changed [unix s]."""
        self.window = RequestWindow(window_seconds)
        self.tenants = Tenants(window_seconds, top_tenants)

    def update(self, record: RequestRecord, share: float, sizes: tuple[int, int], now: float) -> bool:
        """Take one request that ended; whether it counts.

        It does not if it has come before, ends in the future, or is told by another source than the one that leads.
        ``share`` is the engine's part of it where several engines might have served it, ``sizes`` those of blocks and
        of prompt chunks [tokens], ``now`` the newest scrape's time.
        """
        if record.finish > now + _AHEAD_SECONDS or not self._leads(record) or self._came_before(record):
            return False
        if sizes != self._sizes:
            self._resize(sizes)
        s, o = record.prompt_tokens, record.completion_tokens
        if not record.completed or s < 1 or o < 1 or s + o > _LONGEST_REQUEST_TOKENS:
            self.tenants.update(record.finish, record.tenant, share, None)
            return True
        block, chunk = sizes
        g = request_demand(s, o, block, chunk)
        self.window.update(record.finish, max(record.finish - record.arrival, 0.0), s, o, g)
        asked = (g, ceil(s / chunk) + o - 1.0, s - min(record.cached_tokens, s) + o - 1.0)
        self.tenants.update(record.finish, record.tenant, share, asked)
        return True

    def _resize(self, sizes: tuple[int, int]) -> None:
        if self._sizes != (0, 0):
            self.window.resize(*sizes)
        self._sizes = sizes

    def _leads(self, record: RequestRecord) -> bool:
        """Whether the record's source is the one that counts: two may tell of the same requests.

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

    def _came_before(self, record: RequestRecord) -> bool:
        """Whether the very same record came lately, as when an exporter repeats itself after a lost answer.

        Only stamps finer than a millisecond tell two requests of the same lengths apart.
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
        self,
        now: float,
        sizes: tuple[int, int],
        least: int,
        empty_at: float | None = None,
        reach: tuple[float, float] | None = None,
    ) -> JointSample | None:
        """The requests that stand for the traffic; see :meth:`RequestWindow.sample`."""
        if sizes != self._sizes:
            self._resize(sizes)
        return self.window.sample(now, sizes, least, empty_at, reach)

    def uses(self, now: float) -> TenantUses | None:
        """Who used the memory over the window before ``now``."""
        return self.tenants.get(now)

    def clear(self, at: float) -> None:
        """What ended by ``at`` is no fair sample of what comes."""
        self.window.clear(at)

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
        if min(block, chunk) < 0 or not changed_at < 1e12:
            raise ValueError("sizes or times out of range")
        self.changed_at = changed_at
        self.window.restore(window)
        self.tenants.restore(tenants)
        self._sizes, self._source, self._source_newest = (block, chunk), source, self.window.newest
        self._source_names_tenants = self.tenants.named


def _is_coarse(at: float) -> bool:
    """Whether a stamp may be one of whole milliseconds, as far as a float of unix seconds can tell."""
    part = at * 1000 % 1
    return min(part, 1 - part) < 1e-3
