"""Who uses the memory: requests and memory-work by tenant over a trailing window, however many tenants there are."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from kvwatch.constants import LATEST_UNIX_SECONDS, TINY
from kvwatch.queueing.capacity import KV, SEQS, TOKENS
from kvwatch.stats.heavy_hitters import HeavyHitters

UNKNOWN, OTHER = "unknown", "other"
_SLICES = 6
"""Slices of the window of tenants [bins]. Choice: a fifth of the window leaves at a time; more keeps as many lists of
the heaviest."""
_LABEL_CHARACTERS = 64
"""Longest label of a tenant [characters]. Choice: two UUIDs; longer ones burden every query in Prometheus."""
_LEAST_CAPACITY = 64
"""Heaviest tenants kept in each slice at least [keys]. Choice: a tenant's share is then known to 1.5%, also where only
a few are shown."""
_SPARE_FACTOR = 4
"""Heaviest tenants kept in each slice for each that is shown [1]. Choice: those of the window are then among those of
every slice, unless they are no heavier than one in eighty."""
_SUMS = 5
"""Numbers that are added up for a tenant [values]. Definition: Σg, requests, completed ones, ΣT and Σw."""


@dataclass(frozen=True, slots=True)
class TenantUse:
    """One tenant over the window: its label, its share of Σg, requests/s, and means of its completed requests.

    ``ratio`` is its share of the completed requests; ``means`` are E[g], E[T] and E[w] by the limit that each meets.
    """

    label: str
    demand_share: float
    arrival_rate: float
    ratio: float
    means: dict[str, float]


@dataclass(frozen=True, slots=True)
class TenantUses:
    """The heaviest tenants with "other" for the rest; ``means`` are over all of them."""

    tenants: tuple[TenantUse, ...]
    means: dict[str, float]

    def service_rates(self, service_rate: float, limit: str) -> dict[str, float]:
        """μ if all traffic were one tenant's, by label [requests/s].

        To first order: what binds now still would, at the same full step. Then μ falls as the tenant's mean request
        asks for more of it, and the rates mix back to μ by arXiv 2605.04595's rule (Σ q/μ)⁻¹.
        """
        asked = self.means.get(limit, 0.0)
        return {
            t.label: service_rate * asked / t.means[limit] for t in self.tenants if asked > 0 and t.means.get(limit)
        }


class Tenants:
    """Sums by tenant in slices of the window, of requests that ended in it."""

    def __init__(self, window_seconds: float, top: int) -> None:
        self._top = top
        self._width = window_seconds / (_SLICES - 1)
        self._slices: dict[int, HeavyHitters] = {}
        self._since: float | None = None
        self._named = False

    @property
    def named(self) -> bool:
        """Whether any request had a tenant."""
        return self._named

    def update(self, at: float, tenant: str | None, share: float, asked: tuple[float, float, float] | None) -> None:
        """Take a request that ended at ``at``, or the ``share`` of it that is this engine's.

        ``asked`` is its (g, T, w); ``None`` for one that did not complete.
        """
        index = floor(at / self._width)
        if self._slices and index <= max(self._slices) - _SLICES:
            return
        self._named = self._named or bool(tenant)
        self._since = at if self._since is None else min(self._since, at)
        place = self._slices.get(index)
        if place is None:
            place = self._slices[index] = HeavyHitters(max(_LEAST_CAPACITY, _SPARE_FACTOR * self._top), _SUMS)
            for old in [i for i in self._slices if i <= index - _SLICES]:
                del self._slices[old]
        g, steps, computed = (0.0, 0.0, 0.0) if asked is None else asked
        done = share if asked is not None else 0.0
        place.add(label_of(tenant), (share * g, share, done, share * steps, share * computed))

    def get(self, now: float) -> TenantUses | None:
        """Tenants by their share of the memory-work; ``None`` while no request had a tenant, or none ended."""
        first = floor(now / self._width) - _SLICES + 1
        slices = [s for i, s in self._slices.items() if first <= i]
        total = [sum(values) for values in zip(*(s.total for s in slices), strict=True)] if slices else []
        if not self._named or not total or total[0] <= 0 or self._since is None:
            return None
        sums: dict[str, list[float]] = {}
        for part in slices:
            for label, values in part.items():
                sums[label] = [a + b for a, b in zip(sums.get(label, [0.0] * _SUMS), values, strict=True)]
        seconds = max(now - max(first * self._width, self._since), self._width / 10)
        heaviest = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))[: self._top]
        rest = [max(t - sum(v[i] for _, v in heaviest), 0.0) for i, t in enumerate(total)]
        if rest[1] > TINY * total[1]:
            heaviest.append((OTHER, rest))
        uses = tuple(
            TenantUse(label, v[0] / total[0], v[1] / seconds, v[2] / total[2], _means(v)) for label, v in heaviest
        )
        return TenantUses(uses, _means(total))

    def clear(self) -> None:
        """Forget everything."""
        self._slices.clear()
        self._since, self._named = None, False

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""
        return {
            "width": self._width,
            "since": self._since,
            "named": self._named,
            "slices": [[index, part.dump()] for index, part in self._slices.items()],
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state; one of a window of another length is left alone.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        rows, since = state["slices"], state["since"]
        if not isinstance(rows, list) or len(rows) > _SLICES:
            raise ValueError("not the slices of a window")
        slices = {}
        for index, dumped in rows:
            part = HeavyHitters(max(_LEAST_CAPACITY, _SPARE_FACTOR * self._top), _SUMS)
            part.restore(dumped)
            slices[int(index)] = part
        begin = None if since is None else float(since)  # type: ignore[arg-type]
        if begin is not None and not abs(begin) < LATEST_UNIX_SECONDS:
            raise ValueError("time of tenants out of range")
        if float(state["width"]) == self._width:  # type: ignore[arg-type]
            self._slices, self._since, self._named = slices, begin, bool(state["named"])


def label_of(tenant: str | None) -> str:
    """A tenant's label: at most 64 characters, none of them a control character; "unknown" for nobody.

    A tenant who is really called "other" or "unknown" gets an underscore more, as does "other_", and so on: labels of
    different names stay different.
    """
    if not tenant:
        return UNKNOWN
    label = tenant[:_LABEL_CHARACTERS]
    if not label.isprintable():
        label = "".join(c if c.isprintable() else "?" for c in label)
    if label.rstrip("_") in (UNKNOWN, OTHER):
        label += "_"
    return label


def _means(values: list[float]) -> dict[str, float]:
    """E[g], E[T] and E[w] of the completed requests in some sums."""
    g, _, done, steps, computed = values
    return {KV: g / done, SEQS: steps / done, TOKENS: computed / done} if done > 0 else {}
