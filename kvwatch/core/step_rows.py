"""What scrape intervals say about the step law: mean compositions (n, p, K) with their step times."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval

Composition = tuple[float, float, float]

_IDLE_FACTOR = 1.08
"""A cadence this much above the inter-token latency means idle time, or steps that made no output."""
_CONTENTION_RATIO = 0.5
"""Share of the token budget from which prompts compete for it: a prefill then takes more steps than it has chunks."""
_LONGEST_PREFILL_SECONDS = 600.0
_RATE_MEMORY = 0.05
_PREFILLS_LONG, _LONGEST_RUN_SECONDS = 10.0, 20.0
"""A run spans ten prefills, but no more than twenty seconds."""
_STEPS_LONG = 20.0
"""Steps that a run has at least while nobody knows how long prefills take."""
_PROMPTS_MEMORY = 0.98
_CROWDED_FACTOR = 1.3
_SURELY_BUSY = 5.0
"""With so many requests running in the mean the engine hardly ever idles."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Mean composition of some steps, their mean duration [s], and the scrape intervals that they come from."""

    composition: Composition
    seconds: float
    intervals: float = 1.0


@dataclass(slots=True)
class _Run:
    """Sums over consecutive busy intervals."""

    intervals: int = 0
    seconds: float = 0.0
    steps: float = 0.0
    inter_tokens: float = 0.0
    inter_token_seconds: float = 0.0
    computed: float = 0.0
    resident: float = 0.0
    running: float = 0.0

    def add(self, interval: Interval, step_seconds: float, resident: float) -> None:
        # several API servers count the same step: no engine makes more steps than fit into the interval
        crowded = step_seconds > _CROWDED_FACTOR * interval.seconds / (interval.steps or 1.0)
        steps = interval.seconds / step_seconds if crowded else interval.steps or 0.0
        self.intervals += 1
        self.seconds += interval.seconds
        self.steps += steps
        self.inter_tokens += interval.inter_tokens or 0.0
        self.inter_token_seconds += interval.inter_token_seconds or 0.0
        self.computed += computed_tokens(interval)
        self.resident += resident * interval.seconds
        self.running += sum(r or 0.0 for r in interval.running) / 2 * interval.seconds

    def row(self) -> StepRow | None:
        """The mean step; ``None`` where the counters do not show all that was computed.

        With few requests running the engine may have idled, or made steps without output (chunks of a prompt with
        nobody decoding). The latency between tokens then is the step time, unless prompts were computed: it leaves
        out the very steps that computed them.
        """
        if not self.inter_tokens or self.steps < 3:
            return None
        seconds = self.seconds / self.steps
        latency = self.inter_token_seconds / self.inter_tokens
        if self.running < _SURELY_BUSY * self.seconds and seconds > _IDLE_FACTOR * latency:
            if self.computed:
                return None
            seconds = latency
        mean = (self.inter_tokens / self.steps, self.computed / self.steps, self.resident / self.seconds)
        return StepRow(mean, seconds, self.intervals)


class BusyRuns:
    """Mean steps over consecutive busy intervals without preemptions, whose recomputed tokens no counter shows.

    A prompt is counted when its last chunk is done. Where that takes a good part of a scrape interval, the steps
    that computed it are in one interval and its tokens in the next; over ten prefills this evens out.
    """

    def __init__(self) -> None:
        self._run = _Run()
        self._prompts, self._prompts_in_rows = 1.0, 0.5

    def add(
        self, interval: Interval, step_seconds: float | None, kv_tokens: float | None, prefill_seconds: float | None
    ) -> StepRow | None:
        """The row of a run that is now long enough, or that this interval ends.

        Before any request has finished nobody knows how long prefills take: a run then has twenty steps.
        """
        resident = _resident(interval, kv_tokens)
        self._prompts = _PROMPTS_MEMORY * self._prompts + computed_tokens(interval)
        self._prompts_in_rows *= _PROMPTS_MEMORY
        if prefill_seconds is None:
            prefill_seconds = _STEPS_LONG / _PREFILLS_LONG * (step_seconds or 0.0)
        enough = min(_PREFILLS_LONG * prefill_seconds, _LONGEST_RUN_SECONDS)
        if resident is None or not step_seconds or interval.preemptions or not all(interval.running):
            ended, self._run = self._run, _Run()
            return self._told(ended) if ended.seconds >= enough / 2 and ended.intervals else None
        self._run.add(interval, step_seconds, resident)
        if self._run.seconds < enough:
            return None
        ended, self._run = self._run, _Run()
        return self._told(ended)

    def _told(self, run: _Run) -> StepRow | None:
        row = run.row()
        if row is not None:
            self._prompts_in_rows += run.computed
        return row

    @property
    def prompts_ratio(self) -> float:
        """Share of the prompt tokens of late that rows have shown."""
        return min(self._prompts_in_rows / self._prompts, 1.0)


class PrefillRows:
    """Steps that compute prompts, from the time that prefills took.

    While the engine is far from full these are the only long steps, and a mean over an interval with idle time
    does not show them. A prefill of s tokens takes ⌈s/C⌉ steps as long as prompts do not compete for the budget C,
    each with s/⌈s/C⌉ tokens of its own and those of the prompts that arrived during the step before.
    """

    def __init__(self) -> None:
        self._prompt_rate: float | None = None
        self.mean_seconds: float | None = None
        """Time from the first scheduling of a request to its first token, in the recent mean [s]."""

    def read(self, interval: Interval, kv_tokens: float | None, budget_tokens: int) -> StepRow | None:
        """The mean prefill step of the requests that finished in the interval, if they say something sure."""
        computed = computed_tokens(interval)
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
        took = interval.prefill_seconds / count
        self.mean_seconds = (
            took if self.mean_seconds is None else self.mean_seconds + _RATE_MEMORY * (took - self.mean_seconds)
        )
        cached = 1 - computed / interval.prompt_tokens if interval.prompt_tokens else 0.0
        prompt = max(interval.lengths_prompt_tokens / count * (1 - min(max(cached, 0.0), 1.0)), 1.0)
        # of many prompts the last chunk is half full in the mean
        chunks = 1.0 if prompt <= budget_tokens else prompt / budget_tokens + 0.5
        seconds = took / chunks
        # judged by means: to pass over the rows that were long themselves would make steps look short
        others = self._prompt_rate * self.mean_seconds / chunks
        if others > _CONTENTION_RATIO * budget_tokens:
            return None
        tokens = min(prompt / chunks + others, float(budget_tokens))
        running = sum(r or 0.0 for r in interval.running) / 2
        return StepRow((max(running - 1, 0.0), tokens, resident), seconds)


def computed_tokens(interval: Interval) -> float:
    """Prompt tokens computed in the interval; all of them where vLLM does not tell the cached ones."""
    if interval.prompt_tokens_computed is not None:
        return interval.prompt_tokens_computed
    return interval.prompt_tokens or 0.0


def _resident(interval: Interval, kv_tokens: float | None) -> float | None:
    usage0, usage1 = interval.kv_usage_ratio
    return None if kv_tokens is None or usage0 is None or usage1 is None else (usage0 + usage1) / 2 * kv_tokens
