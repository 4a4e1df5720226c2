"""What one scrape interval says about the step law: a mean composition (n, p, K) and its step time."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval

Composition = tuple[float, float, float]

_IDLE_FACTOR = 1.08
"""A cadence this much above the inter-token latency means idle time, or steps that made no output."""
_CONTENTION_RATIO = 0.7
"""Share of the token budget from which prompts compete for it: a prefill then takes more steps than it has chunks."""
_LONGEST_PREFILL_SECONDS = 600.0
_RATE_MEMORY = 0.05
_PREFILLS_LONG, _LONGEST_ROW_SECONDS = 10.0, 30.0
"""A row spans ten prefills, but no more than half a minute."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Mean composition of ``steps`` steps, their mean duration [s], and the intervals that they come from."""

    composition: Composition
    seconds: float
    steps: float = 1.0
    intervals: float = 1.0

    def joined(self, other: StepRow) -> StepRow:
        """Both as one."""
        steps = self.steps + other.steps
        share = self.steps / steps
        n, p, k = (share * a + (1 - share) * b for a, b in zip(self.composition, other.composition, strict=True))
        seconds = share * self.seconds + (1 - share) * other.seconds
        return StepRow((n, p, k), seconds, steps, self.intervals + other.intervals)


def decode_row(interval: Interval, step_seconds: float | None, kv_tokens: float | None) -> StepRow | None:
    """The interval's mean step; ``None`` where the counters do not show all that its steps computed.

    That is so with preemptions, as recomputed tokens are in no counter. It is also so where the engine idled, or
    made steps without output (chunks of a prompt with nobody decoding), while prompts were computed: the latency
    between tokens then leaves out the very steps that computed them.
    """
    resident = _resident(interval, kv_tokens)
    if (
        resident is None
        or not step_seconds
        or not interval.steps
        or interval.steps < 3
        or interval.preemptions
        or not all(interval.running)
        or not interval.inter_tokens
        or not interval.inter_token_seconds
    ):
        return None
    computed = _computed(interval)
    latency = interval.inter_token_seconds / interval.inter_tokens
    if computed and interval.seconds / interval.steps > _IDLE_FACTOR * latency:
        return None
    # several API servers count the same step: no engine makes more steps than fit into the interval
    steps = min(interval.steps, interval.seconds / step_seconds)
    return StepRow((interval.inter_tokens / steps, computed / steps, resident), step_seconds, steps)


class RowJoiner:
    """Joins the rows of consecutive intervals until prefills are short against them.

    A prompt is counted when its last chunk is done. Where that takes a good part of a scrape interval, the steps
    that computed it are in one interval and its tokens in the next; over several intervals this evens out.
    """

    def __init__(self) -> None:
        self._joined: StepRow | None = None

    def add(self, row: StepRow | None, prefill_seconds: float) -> StepRow | None:
        """A joined row, or ``None`` while it is too short, or where ``row`` is missing and breaks the sequence."""
        if row is None:
            self._joined = None
            return None
        joined = row if self._joined is None else self._joined.joined(row)
        if joined.steps * joined.seconds < min(_PREFILLS_LONG * prefill_seconds, _LONGEST_ROW_SECONDS):
            self._joined = joined
            return None
        self._joined = None
        return joined


class PrefillRows:
    """Steps that compute prompts, from the time that prefills took.

    While the engine is far from full these are the only long steps, and a mean over an interval with idle time
    does not show them. A prefill of s tokens takes ⌈s/C⌉ steps as long as prompts do not compete for the budget C,
    each with s/⌈s/C⌉ tokens of its own and those of the prompts that arrived during the step before.
    """

    def __init__(self) -> None:
        self._prompt_rate: float | None = None
        self.mean_seconds = 0.0
        """Time from the first scheduling of a request to its first token, in the recent mean."""

    def read(self, interval: Interval, kv_tokens: float | None, budget_tokens: int) -> StepRow | None:
        """The mean prefill step of the requests that finished in the interval, if they say something sure."""
        computed = _computed(interval)
        rate = computed / interval.seconds
        before = rate if self._prompt_rate is None else self._prompt_rate
        self._prompt_rate = before + _RATE_MEMORY * (rate - before)
        resident, count = _resident(interval, kv_tokens), interval.lengths_count
        if (
            resident is None
            or not count
            or not interval.prefill_seconds
            or any(interval.waiting)
            or interval.preemptions
            or interval.prefill_seconds > _LONGEST_PREFILL_SECONDS * count
        ):
            return None
        self.mean_seconds += _RATE_MEMORY * (interval.prefill_seconds / count - self.mean_seconds)
        cached = 1 - computed / interval.prompt_tokens if interval.prompt_tokens else 0.0
        prompt = max(interval.lengths_prompt_tokens / count * (1 - min(max(cached, 0.0), 1.0)), 1.0)
        # of many prompts the last chunk is half full in the mean
        chunks = 1.0 if prompt <= budget_tokens else prompt / budget_tokens + 0.5
        seconds = interval.prefill_seconds / count / chunks
        tokens = prompt / chunks + self._prompt_rate * seconds
        if tokens > _CONTENTION_RATIO * budget_tokens and chunks == 1.0:
            return None
        if self._prompt_rate * seconds > (1 - _CONTENTION_RATIO) * budget_tokens:
            return None
        running = sum(r or 0.0 for r in interval.running) / 2
        return StepRow((max(running - 1, 0.0), tokens, resident), seconds)


def _computed(interval: Interval) -> float:
    """Prompt tokens computed in the interval; all of them where vLLM does not tell the cached ones."""
    if interval.prompt_tokens_computed is not None:
        return interval.prompt_tokens_computed
    return interval.prompt_tokens or 0.0


def _resident(interval: Interval, kv_tokens: float | None) -> float | None:
    usage0, usage1 = interval.kv_usage_ratio
    return None if kv_tokens is None or usage0 is None or usage1 is None else (usage0 + usage1) / 2 * kv_tokens
