"""The engine in discrete time, as the theory has it: growth, eviction of the youngest, admission of the rest.

Each step every running request gains a token, those that reach their output leave, the youngest are evicted until the
rest fits, and in a step that evicted nobody admissions fill the memory. The queue never empties. Requests are a
fluid, a fraction of one may run, or whole ones: then an eviction frees more than was missing, and the head of the
queue waits until all of it fits. There are no blocks, seats or budgets.

An evicted request starts from scratch, as in the paper, or keeps the tokens it made and only computes them again,
as in vLLM. It waits at the head of the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.constants import TINY
from kvwatch.queueing.congestion.survival import Array, checked_prompts, checked_shares, whole_steps


@dataclass(frozen=True, slots=True)
class Steps:
    """What happened, step by step; each field has one value a step.

    ``running`` requests and the ``held`` tokens are those after admission; ``finished`` and ``evicted`` are requests,
    ``prefilled`` tokens of admissions, those computed again included (``recomputed``).
    """

    running: Array
    held: Array
    finished: Array
    evicted: Array
    prefilled: Array
    recomputed: Array

    def after(self, warmup_steps: int) -> Steps:
        """The steps from ``warmup_steps`` on."""
        return Steps(*(getattr(self, name)[warmup_steps:] for name in self.__slots__))


class DiscreteEngine:
    """The state between two steps: entries in the order of admission, the oldest first.

    Args:
        kv_tokens: M.
        prompt_tokens: s of each class.
        output_tokens: o of each class.
        shares: How often each class comes; equally often without.
        keep_progress: Whether evicted requests keep the tokens they made.
        whole_requests: Whether requests are indivisible; the classes then take turns in their shares.
    """

    def __init__(  # noqa: PLR0913 (a model has that many choices)
        self,
        kv_tokens: float,
        prompt_tokens: npt.ArrayLike,
        output_tokens: npt.ArrayLike,
        shares: npt.ArrayLike | None = None,
        *,
        keep_progress: bool = False,
        whole_requests: bool = False,
    ) -> None:
        self._kv_tokens = kv_tokens
        self._s = checked_prompts(prompt_tokens)
        self._o = whole_steps(output_tokens)
        self._q = checked_shares(shares, len(self._s))
        self._keep = keep_progress
        self._whole = whole_requests
        self._owed = np.zeros(len(self._s))
        """Whole requests by which each class has come short of its share."""
        self._class = np.zeros(0, dtype=np.int64)
        self._made = np.zeros(0, dtype=np.int64)
        self._count = np.zeros(0)
        self._waiting: list[tuple[int, int, float]] = []
        """Evicted (class, tokens made, count); the last entry is the head of the queue."""

    def start_spread(self, perturbation: Sequence[float] = ()) -> None:
        """Begin in equilibrium, each age admitted at the same rate; ``perturbation`` scales the latest admissions."""
        longest = int(self._o.max())
        rate = self._kv_tokens / float((self._q * (self._s * self._o + self._o * (self._o - 1) / 2)).sum())
        scale = np.ones(longest)
        scale[: len(perturbation)] = perturbation
        age, kind = (a.ravel() for a in np.meshgrid(np.arange(longest)[::-1], np.arange(len(self._o)), indexing="ij"))
        alive = age < self._o[kind]
        self._class, self._made = kind[alive], age[alive]
        self._count = rate * self._q[self._class] * scale[self._made]
        self._evict()

    def run(self, steps: int) -> Steps:
        """Take this number of steps."""
        rows = np.array([self._step() for _ in range(steps)]).T
        return Steps(*rows)

    def _held(self) -> Array:
        return np.asarray(self._count * (self._s[self._class] + self._made), dtype=float)

    def _step(self) -> tuple[float, float, float, float, float, float]:
        self._made = self._made + 1
        done = self._made >= self._o[self._class]
        finished = float(self._count[done].sum())
        self._keep_only(~done)
        evicted = self._evict()
        prefilled, recomputed = (0.0, 0.0) if evicted else self._admit()
        return float(self._count.sum()), float(self._held().sum()), finished, evicted, prefilled, recomputed

    def _keep_only(self, kept: npt.NDArray[np.bool_]) -> None:
        self._class, self._made, self._count = self._class[kept], self._made[kept], self._count[kept]

    def _evict(self) -> float:
        """Take the youngest out until the rest fits; return how many."""
        held = self._held()
        excess = float(held.sum()) - self._kv_tokens
        if excess <= TINY * self._kv_tokens:
            return 0.0
        freed = np.minimum(np.maximum(excess - (np.cumsum(held[::-1]) - held[::-1]), 0.0), held[::-1])[::-1]
        gone = np.where(held > 0, freed / np.maximum(held, TINY), 1.0) * self._count
        if self._whole:
            gone = np.minimum(np.ceil(gone - TINY), self._count)
        # the oldest victim ends up at the head of the queue
        for place in np.flatnonzero(gone > 0)[::-1]:
            made = int(self._made[place]) if self._keep else 0
            self._waiting.append((int(self._class[place]), made, float(gone[place])))
        self._count = self._count - gone
        self._keep_only(self._count > TINY)
        return float(gone.sum())

    def _admit(self) -> tuple[float, float]:
        """Fill the memory; return the tokens prefilled and, of those, the ones computed again."""
        room = self._kv_tokens - float(self._held().sum())
        entries: list[tuple[int, int, float]] = []
        recomputed = 0.0
        while self._waiting and room > TINY * self._kv_tokens:
            kind, made, count = self._waiting.pop()
            size = float(self._s[kind]) + made
            admitted = min(count, room // size if self._whole else room / size)
            entries.append((kind, made, admitted))
            recomputed += admitted * size
            room -= admitted * size
            if admitted < count:
                self._waiting.append((kind, made, count - admitted))
                room = 0.0
        fresh = self._fresh(max(room, 0.0))
        prefilled = recomputed + sum(count * float(self._s[kind]) for kind, _, count in fresh)
        entries = [entry for entry in entries if entry[2] > 0] + fresh
        kinds, made_tokens, counts = zip(*entries, strict=True) if entries else ((), (), ())
        self._class = np.concatenate([self._class, np.array(kinds, dtype=np.int64)])
        self._made = np.concatenate([self._made, np.array(made_tokens, dtype=np.int64)])
        self._count = np.concatenate([self._count, np.array(counts, dtype=float)])
        return prefilled, recomputed

    def _fresh(self, room: float) -> list[tuple[int, int, float]]:
        """New requests that fit into this much memory."""
        if not self._whole:
            count = room / float(self._q @ self._s)
            return [(kind, 0, count * share) for kind, share in enumerate(self._q.tolist())] if count else []
        entries: list[tuple[int, int, float]] = []
        while True:
            kind = int(np.argmax(self._owed + self._q))
            if float(self._s[kind]) > room:
                return entries
            self._owed += self._q
            self._owed[kind] -= 1
            room -= float(self._s[kind])
            entries.append((kind, 0, 1.0))


def equilibrium_admissions(coefficients: Array, kv_tokens: float) -> float:
    """Requests admitted, and finished, each step while nothing is evicted and memory is full: M/Σ c_j."""
    return kv_tokens / float(coefficients.sum())
