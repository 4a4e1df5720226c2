"""The mean step of consecutive intervals: of how many sequences and tokens it was, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.core.steps.prompt_chunks import PromptChunks, computed_tokens
from kvwatch.core.steps.step_seconds import IDLE_FACTOR

Composition = tuple[float, float, float, float]
"""Mean n, p and K of some steps, and the share φ of them that compute prompt tokens."""

_LEAST_STEPS = 3.0
"""Steps that a row rests on at least [steps]. Choice: with fewer the ends of the interval cut through them."""
_CROWDED_FACTOR = 1.3
"""Counted steps over those that fit into the interval from which several API servers count the same one [1]. Choice:
between the 1 of one server and the 2 of two."""
_SURELY_BUSY = 5.0
"""Requests running in the mean with which the engine hardly ever idles [requests]. Choice: of a Poisson number of mean
5 less than 1% is 0."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Mean composition of some steps, their mean duration [s], and how many scrape intervals' worth they say."""

    composition: Composition
    seconds: float
    intervals: float = 1.0


@dataclass(slots=True)
class Run:
    """Sums over consecutive intervals."""

    intervals: int = 0
    seconds: float = 0.0
    steps: float = 0.0
    inter_tokens: float = 0.0
    inter_token_seconds: float = 0.0
    computed: float = 0.0
    prefills: float = 0.0
    running: float = 0.0

    def add(self, interval: Interval, step_seconds: float) -> None:
        """Take the next interval, in which a step took ``step_seconds`` in the mean."""
        # several API servers count the same step: no engine makes more steps than fit into the interval
        crowded = step_seconds > _CROWDED_FACTOR * interval.seconds / (interval.steps or 1.0)
        self.intervals += 1
        self.seconds += interval.seconds
        self.steps += interval.seconds / step_seconds if crowded else interval.steps or 0.0
        self.inter_tokens += interval.inter_tokens or 0.0
        self.inter_token_seconds += interval.inter_token_seconds or 0.0
        self.computed += computed_tokens(interval)
        self.prefills += interval.first_tokens or 0.0
        self.running += sum(r or 0.0 for r in interval.running) / 2 * interval.seconds

    def join(self, other: Run) -> None:
        """Take up another run's sums, but for the requests running: only a run that may be busy is asked for them."""
        self.intervals += other.intervals
        self.seconds += other.seconds
        self.steps += other.steps
        self.inter_tokens += other.inter_tokens
        self.inter_token_seconds += other.inter_token_seconds
        self.computed += other.computed
        self.prefills += other.prefills

    @property
    def idled(self) -> bool:
        """Whether the engine idled in between, or made steps without output (a prompt's chunks, nobody decoding)."""
        if self.running >= _SURELY_BUSY * self.seconds or not self.inter_tokens or not self.steps:
            return False
        latency = self.inter_token_seconds / self.inter_tokens
        return self.seconds / self.steps > IDLE_FACTOR * latency

    def row(self, prompts: PromptChunks, held_tokens: float) -> StepRow | None:
        """The mean step of an engine that was busy throughout; ``None`` where the counters do not show it.

        ``held_tokens`` is K of the mean running request. A step's sequences are counted exactly, the memory they hold
        is read twice an interval: so K is taken as their number times what each holds.
        """
        if not self.inter_tokens or self.steps < _LEAST_STEPS:
            return None
        decoding, prefill = self.inter_tokens / self.steps, self.computed / self.steps
        share = prompts.share(prefill)
        resident = held_tokens * (decoding + prefill / prompts.chunk_tokens)
        return StepRow((decoding, prefill, resident, share), self.seconds / self.steps, self.intervals)

    def token_row(self, prompts: PromptChunks, held_tokens: float) -> StepRow | None:
        """The mean step as decoding sequences see it, of an engine that idles now and then.

        The latency between tokens is the mean step time weighted by the sequences in the step, and idle time has none.
        By PASTA (Wolff, Operations Research 30, 1982) a sequence finds as many others beside it as are there in the
        mean over all time, idle time included, and while one of its steps lasts as many prompts are computed as in any
        other time of that length.
        """
        if not self.inter_tokens or not self.inter_token_seconds:
            return None
        latency = self.inter_token_seconds / self.inter_tokens
        decoding = 1 + self.inter_token_seconds / self.seconds
        prefill = self.computed / self.seconds * latency
        resident = held_tokens * (decoding + prefill / prompts.chunk_tokens)
        return StepRow((decoding, prefill, resident, prompts.share(prefill)), latency)
