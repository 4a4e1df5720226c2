"""The requests of a log over a trailing window: exact means, and a sample of exact (s, o) pairs.

Time is cut into slices by when requests ended. Each holds exact sums and a uniform sample of its requests: those with
the smallest of random numbers, so that the samples of two slices make one of both. Slices that leave the window are
joined to minutes and kept for an hour. So late and disordered records find their place, and memory is bounded.
"""

from __future__ import annotations

from math import ceil, isfinite
from random import Random

from kvwatch.constants import HOUR_SECONDS, LATEST_UNIX_SECONDS, MINUTE_SECONDS
from kvwatch.core.traffic.joint_sample import JointSample, joint_sample
from kvwatch.core.traffic.request_slices import Slice, restored
from kvwatch.queueing.demand import block_demand

_SLICES = 120
"""Slices of the window of requests [bins]. Choice: a second each of two minutes, so that the window's edge is known to
1%."""
_KEPT = 12
"""Requests of a slice that are kept as they are [requests]. Choice: 120 slices hold 1,440, more than the mix reaches
for."""
_KEPT_MINUTE = 24
"""Requests of an old minute that are kept as they are [requests]. Choice: an hour holds 1,440, as the window does."""
_SEED = 64
"""Seed of the sampling [1]. Choice: any."""


class RequestWindow:
    """Completed requests of the last ``window_seconds``, and more coarsely of the last hour."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._width = window_seconds / _SLICES
        self._recent: dict[int, Slice] = {}
        self._minutes: dict[int, Slice] = {}
        self._random = Random(_SEED)  # noqa: S311 - a sample, reproducible
        self._begin = float("-inf")
        self.newest = float("-inf")
        """When the newest request ended [unix s]."""

    def update(self, finish: float, seconds: float, prompt_tokens: int, output_tokens: int, demand: float) -> None:
        """Take a request that ended at ``finish``, ``seconds`` after it arrived, and its g [token·steps].

        One that ended before the window was cleared, or an hour before the newest, belongs to no window.
        """
        if finish <= self._begin or finish <= self.newest - HOUR_SECONDS:
            return
        index = int(finish // self._width)
        if finish > self.newest:
            if self.newest // self._width < index:
                self._retire(finish)
            self.newest = finish
        if index >= (self.newest - self._window) // self._width:
            slices, size = self._recent, _KEPT
        else:
            slices, size, index = self._minutes, _KEPT_MINUTE, int(finish // MINUTE_SECONDS)
        place = slices.get(index)
        if place is None:
            place = slices[index] = Slice()
        place.count += 1
        place.demand += demand
        place.prompt += prompt_tokens
        place.output += output_tokens
        place.kept.append((self._random.random(), prompt_tokens, output_tokens, seconds))
        if len(place.kept) > 2 * size:
            place.thin(size)

    def _retire(self, newest: float) -> None:
        """Join slices that have left the window to their minutes, and forget what is older than an hour."""
        first = int((newest - self._window) // self._width)
        for index in sorted(i for i in self._recent if i < first):
            old = self._recent.pop(index)
            old.thin(_KEPT)
            self._minutes.setdefault(int((index + 0.5) * self._width // MINUTE_SECONDS), Slice()).join(old)
        for minute in [m for m in self._minutes if (m + 1) * MINUTE_SECONDS <= newest - HOUR_SECONDS]:
            del self._minutes[minute]
        for place in self._minutes.values():
            place.thin(_KEPT_MINUTE)

    def clear(self, at: float) -> None:
        """Forget everything that ended by ``at``, also what is reported of it later."""
        self._recent.clear()
        self._minutes.clear()
        self._begin = at

    def resize(self, block_tokens: int, chunk_tokens: int) -> None:
        """Blocks or chunks have another size than g was counted with: count it again, from the samples."""
        for place in (*self._recent.values(), *self._minutes.values()):
            s = [pair[1] for pair in place.kept]
            o = [pair[2] for pair in place.kept]
            if s:
                place.demand = place.count * float(block_demand(s, o, block_tokens, chunk_tokens).mean())

    def sample(
        self,
        now: float,
        sizes: tuple[int, int],
        least: int,
        empty_at: float | None = None,
        reach: tuple[float, float] | None = None,
    ) -> JointSample | None:
        """The requests that ended in the window before ``now``; ``None`` with fewer than ``least``.

        ``sizes`` are those of blocks and of prompt chunks [tokens]. ``empty_at`` is when the engine last ran empty
        [unix s]: only what ended later counts, if it is enough, and it counts the more the longer it took, as its
        like are still inside (inverse probability of having ended by now; Horvitz and Thompson, 1952).
        ``reach`` = (requests, since) reaches further back for that number of requests, but not before ``since``.
        """
        first = now - self._window
        chosen = [(i * self._width, s) for i, s in self._recent.items() if (i + 1) * self._width > first]
        if reach is None and empty_at is not None:
            later = [entry for entry in chosen if entry[0] >= empty_at]
            if sum(s.count for _, s in later) >= least:
                chosen = later
        if reach is not None:
            chosen = self._reaching(chosen, reach[0], max(reach[1], now - HOUR_SECONDS))
        count = sum(s.count for _, s in chosen)
        if count < max(least, 1):
            return None
        return joint_sample(chosen, count, sizes, now, empty_at)

    def _reaching(self, chosen: list[tuple[float, Slice]], enough: float, since: float) -> list[tuple[float, Slice]]:
        chosen = [entry for entry in chosen if entry[0] >= since]
        count = sum(s.count for _, s in chosen)
        for minute in sorted(self._minutes, reverse=True):
            if count >= enough or minute * MINUTE_SECONDS < since:
                break
            chosen.append((minute * MINUTE_SECONDS, self._minutes[minute]))
            count += self._minutes[minute].count
        return chosen

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""

        def rows(slices: dict[int, Slice], size: int) -> list[list[object]]:
            return [[i, s.count, s.demand, s.prompt, s.output, s.sample(size)] for i, s in slices.items()]

        return {
            "window": self._window,
            "begin": self._begin if isfinite(self._begin) else None,
            "newest": self.newest if isfinite(self.newest) else None,
            "recent": rows(self._recent, _KEPT),
            "minutes": rows(self._minutes, _KEPT_MINUTE),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state; one of a window of another length is left alone.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        begin, newest = state["begin"], state["newest"]
        recent = restored(state["recent"], _SLICES + 2, _KEPT)
        minutes = restored(state["minutes"], ceil(HOUR_SECONDS / MINUTE_SECONDS) + 2, _KEPT_MINUTE)
        times = [float("-inf") if t is None else float(t) for t in (begin, newest)]  # type: ignore[arg-type]
        if not all(t < LATEST_UNIX_SECONDS for t in times):
            raise ValueError("times out of range")
        if float(state["window"]) == self._window:  # type: ignore[arg-type]
            self._begin, self.newest = times
            self._recent, self._minutes = recent, minutes
