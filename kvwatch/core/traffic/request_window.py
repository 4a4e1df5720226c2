"""The requests of a log over a trailing window: exact means, and a sample of exact (s, o) pairs.

Time is cut into slices by when requests ended. Each holds exact sums and a uniform sample of its requests: those with
the smallest of random numbers, so that the samples of two slices make one of both. Slices that leave the window are
joined to minutes and kept for an hour. So late and disordered records find their place, and memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, isfinite
from random import Random

import numpy as np
import numpy.typing as npt

from kvwatch.queueing.demand import block_demand
from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]

POOL_SIZE = 256
"""Equally likely requests that stand for all."""
_SLICES, _KEPT = 120, 12
_MINUTE, _HOUR, _KEPT_MINUTE = 60.0, 3600.0, 24
_LEAST_SEEN = 0.1
"""Requests as long as nearly all the time since the engine was empty count at most tenfold."""
_SEED = 64

Pair = tuple[float, float, float, float]
"""Random number, prompt and output tokens, and seconds from arrival to end."""


@dataclass(frozen=True, slots=True)
class JointSample:
    """Requests of a log: how many, their means, and ``pool`` equally likely ones that stand for them.

    ``demand`` is E[g] [token·steps], ``prompt_tokens`` and ``output_tokens`` the pool's lengths.
    """

    requests: float
    demand: float
    moments: PairMoments
    chunks: float
    prompt_tokens: Array
    output_tokens: Array


@dataclass(slots=True)
class _Slice:
    count: int = 0
    demand: float = 0.0
    prompt: float = 0.0
    output: float = 0.0
    kept: list[Pair] = field(default_factory=list)

    def sample(self, size: int) -> list[Pair]:
        if len(self.kept) > size:
            self.kept.sort()
            del self.kept[size:]
        return self.kept

    def join(self, other: _Slice) -> None:
        self.count += other.count
        self.demand += other.demand
        self.prompt += other.prompt
        self.output += other.output
        # each holds the smallest numbers of its own, so both together hold the smallest of all
        self.kept = [*self.kept, *other.kept]


class RequestWindow:
    """Completed requests of the last ``window_seconds``, and more coarsely of the last hour."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._width = window_seconds / _SLICES
        self._recent: dict[int, _Slice] = {}
        self._minutes: dict[int, _Slice] = {}
        self._random = Random(_SEED)  # noqa: S311 - a sample, reproducible
        self._begin = float("-inf")
        self.newest = float("-inf")
        """When the newest request ended [unix s]."""

    def update(self, finish: float, seconds: float, prompt_tokens: int, output_tokens: int, demand: float) -> None:
        """Take a request that ended at ``finish``, ``seconds`` after it arrived, and its g [token·steps].

        One that ended before the window was cleared, or an hour before the newest, belongs to no window.
        """
        if finish <= self._begin or finish <= self.newest - _HOUR:
            return
        index = int(finish // self._width)
        if finish > self.newest:
            if self.newest // self._width < index:
                self._retire(finish)
            self.newest = finish
        if index >= (self.newest - self._window) // self._width:
            slices, size = self._recent, _KEPT
        else:
            slices, size, index = self._minutes, _KEPT_MINUTE, int(finish // _MINUTE)
        place = slices.get(index)
        if place is None:
            place = slices[index] = _Slice()
        place.count += 1
        place.demand += demand
        place.prompt += prompt_tokens
        place.output += output_tokens
        place.kept.append((self._random.random(), prompt_tokens, output_tokens, seconds))
        if len(place.kept) > 2 * size:
            place.sample(size)

    def _retire(self, newest: float) -> None:
        """Join slices that have left the window to their minutes, and forget what is older than an hour."""
        first = int((newest - self._window) // self._width)
        for index in sorted(i for i in self._recent if i < first):
            old = self._recent.pop(index)
            old.sample(_KEPT)
            self._minutes.setdefault(int((index + 0.5) * self._width // _MINUTE), _Slice()).join(old)
        for minute in [m for m in self._minutes if (m + 1) * _MINUTE <= newest - _HOUR]:
            del self._minutes[minute]
        for place in self._minutes.values():
            place.sample(_KEPT_MINUTE)

    def clear(self, at: float) -> None:
        """Forget everything that ended by ``at``, also what is told of it later."""
        self._recent.clear()
        self._minutes.clear()
        self._begin = at

    def resize(self, block_tokens: int, chunk_tokens: int) -> None:
        """Blocks or chunks have another size than g was counted with: count it anew, from the samples."""
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
        ``reach`` = (requests, since) reaches further back for so many requests, but not before ``since``.
        """
        first = now - self._window
        chosen = [(i * self._width, s) for i, s in self._recent.items() if (i + 1) * self._width > first]
        if reach is None and empty_at is not None:
            later = [entry for entry in chosen if entry[0] >= empty_at]
            if sum(s.count for _, s in later) >= least:
                chosen = later
        if reach is not None:
            chosen = self._reaching(chosen, reach[0], max(reach[1], now - _HOUR))
        count = sum(s.count for _, s in chosen)
        if count < max(least, 1):
            return None
        return _summary(chosen, count, sizes, now, empty_at)

    def _reaching(self, chosen: list[tuple[float, _Slice]], enough: float, since: float) -> list[tuple[float, _Slice]]:
        chosen = [entry for entry in chosen if entry[0] >= since]
        count = sum(s.count for _, s in chosen)
        for minute in sorted(self._minutes, reverse=True):
            if count >= enough or minute * _MINUTE < since:
                break
            chosen.append((minute * _MINUTE, self._minutes[minute]))
            count += self._minutes[minute].count
        return chosen

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""

        def rows(slices: dict[int, _Slice], size: int) -> list[list[object]]:
            return [[i, s.count, s.demand, s.prompt, s.output, s.sample(size)[:]] for i, s in slices.items()]

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
        recent = _restored(state["recent"], _SLICES + 2, _KEPT)
        minutes = _restored(state["minutes"], ceil(_HOUR / _MINUTE) + 2, _KEPT_MINUTE)
        times = [float("-inf") if t is None else float(t) for t in (begin, newest)]  # type: ignore[arg-type]
        if not all(t < 1e12 for t in times):
            raise ValueError("times out of range")
        if float(state["window"]) == self._window:  # type: ignore[arg-type]
            self._begin, self.newest = times
            self._recent, self._minutes = recent, minutes


def _summary(
    chosen: list[tuple[float, _Slice]], count: int, sizes: tuple[int, int], now: float, empty_at: float | None
) -> JointSample:
    table = np.array([pair for _, place in chosen for pair in place.kept], dtype=float)
    kept = [len(place.kept) for _, place in chosen]
    plain = np.repeat([place.count / n for (_, place), n in zip(chosen, kept, strict=True)], kept) / count
    s, o, seconds = table[:, 1], table[:, 2], table[:, 3]
    weight = plain
    if empty_at is not None:
        seen = np.maximum(1 - seconds / max(now - empty_at, 1e-9), _LEAST_SEEN)
        # what came before the engine ran empty has all ended
        after = np.repeat([start >= empty_at for start, _ in chosen], kept)
        weight = np.where(after, plain / seen, plain)
        weight = weight / weight.sum()
    g = block_demand(s, o, *sizes)

    def mean(exact: float, values: Array) -> float:
        # the sums hold all requests, the sample says by how much the weights move them
        sampled = float(plain @ values)
        return exact / count * float(weight @ values) / sampled if sampled > 0 else 0.0

    demand = mean(sum(p.demand for _, p in chosen), g)
    mean_s = mean(sum(p.prompt for _, p in chosen), s)
    mean_o = mean(sum(p.output for _, p in chosen), o)
    ds, do = s - float(weight @ s), o - float(weight @ o)
    order = np.argsort(g, kind="stable")
    ranks = np.searchsorted(np.cumsum(weight[order]), (np.arange(POOL_SIZE) + 0.5) / POOL_SIZE)
    picked = order[np.minimum(ranks, len(order) - 1)]
    moments = PairMoments(
        requests=float(count),
        groups=len(s),
        mean_s=mean_s,
        mean_o=mean_o,
        var_s=float(weight @ ds**2),
        var_o=float(weight @ do**2),
        cov=float(weight @ (ds * do)),
    )
    return JointSample(
        # unequal weights say as much as fewer requests would
        requests=count * float((plain**2).sum() / (weight**2).sum()),
        demand=demand,
        moments=moments,
        chunks=float(weight @ np.ceil(s / sizes[1])),
        prompt_tokens=s[picked],
        output_tokens=o[picked],
    )


def _restored(rows: object, most: int, size: int) -> dict[int, _Slice]:
    """Slices of a dumped state. Raises ValueError or TypeError."""
    if not isinstance(rows, list) or len(rows) > most:
        raise ValueError("not the slices of a window")
    slices = {}
    for index, count, demand, prompt, output, kept in rows:
        pairs = [(float(r), float(s), float(o), float(t)) for r, s, o, t in kept]
        sums = (float(demand), float(prompt), float(output))
        if len(pairs) > size or int(count) < 1 or len(pairs) > int(count) or not pairs:
            raise ValueError("a slice of a window does not add up")
        if not all(0 <= x < float("inf") for x in (*sums, *(v for pair in pairs for v in pair))):
            raise ValueError("sums of a window out of range")
        if not all(s >= 1 and o >= 1 for _, s, o, _ in pairs):
            raise ValueError("lengths of a window out of range")
        slices[int(index)] = _Slice(int(count), *sums, pairs)
    return slices
