"""What scrape intervals say about the step law: mean compositions (n, p, K, φ) with their step times."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_seconds import IDLE_FACTOR
from kvwatch.queueing.full_load import prefill_share

Composition = tuple[float, float, float, float]
"""Mean n, p and K of some steps, and the share φ of them that compute prompt tokens."""

_CONTENTION_RATIO, _LEAST_CONTENTION_RATIO = 0.25, 0.1
"""Share of the budget's room beside a chunk, and of the chunk itself, from which the tokens of others compete with it:
a prefill then takes more steps than it has chunks."""
_LONGEST_PREFILL_SECONDS = 600.0
_RATE_MEMORY = 0.05
_PREFILLS_LONG, _LONGEST_RUN_SECONDS = 10.0, 20.0
"""A run spans ten prefills, but no more than twenty seconds."""
_STEPS_LONG = 20.0
"""Steps that a run has at least while nobody knows how long prefills take."""
_PROMPTS_MEMORY = 0.98
_CLUMPS_MEMORY = 0.995
_CROWDED_FACTOR = 1.3
_SURELY_BUSY = 5.0
"""With so many requests running in the mean the engine hardly ever idles."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Mean composition of some steps, their mean duration [s], and how many scrape intervals' worth they say."""

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

    def row(self, chunk_tokens: float, budget_tokens: int) -> StepRow | None:
        """The mean step; ``None`` where the counters do not show all that was computed.

        With few requests running the engine may have idled, or made steps without output (chunks of a prompt with
        nobody decoding). The latency between tokens then is the step time, unless prompts were computed: it leaves
        out the very steps that computed them.
        """
        if not self.inter_tokens or self.steps < 3:
            return None
        seconds = self.seconds / self.steps
        latency = self.inter_token_seconds / self.inter_tokens
        if self.running < _SURELY_BUSY * self.seconds and seconds > IDLE_FACTOR * latency:
            if self.computed:
                return None
            seconds = latency
        prefill = self.computed / self.steps
        share = prefill_share(prefill, chunk_tokens, budget_tokens)
        mean = (self.inter_tokens / self.steps, prefill, self.resident / self.seconds, share)
        return StepRow(mean, seconds, self.intervals)


class BusyRuns:
    """Mean steps over consecutive busy intervals without preemptions, whose recomputed tokens no counter shows.

    A prompt is counted when its last chunk is done. Where that takes a good part of a scrape interval, the steps
    that computed it are in one interval and its tokens in the next; over ten prefills this evens out.
    """

    def __init__(self) -> None:
        self._run = _Run()
        self._prompts, self._prompts_in_rows = 1.0, 0.5
        self._prompt_tokens, self._prompt_count = 0.0, 0.0

    def add(
        self,
        interval: Interval,
        step_seconds: float | None,
        kv_tokens: float | None,
        prefill_seconds: float | None,
        budget_tokens: int,
    ) -> StepRow | None:
        """The row of a run that is now long enough, or that this interval ends.

        Before any request has finished nobody knows how long prefills take: a run then has twenty steps.
        """
        resident = _resident(interval, kv_tokens)
        self._prompt_tokens = _PROMPTS_MEMORY * self._prompt_tokens + uncached_prompt_tokens(interval)
        self._prompt_count = _PROMPTS_MEMORY * self._prompt_count + interval.lengths_count
        self._prompts = _PROMPTS_MEMORY * self._prompts + computed_tokens(interval)
        self._prompts_in_rows *= _PROMPTS_MEMORY
        if prefill_seconds is None:
            prefill_seconds = _STEPS_LONG / _PREFILLS_LONG * (step_seconds or 0.0)
        enough = min(_PREFILLS_LONG * prefill_seconds, _LONGEST_RUN_SECONDS)
        if resident is None or not step_seconds or interval.preemptions or not all(interval.running):
            ended, self._run = self._run, _Run()
            return self._told(ended, budget_tokens) if ended.seconds >= enough / 2 and ended.intervals else None
        self._run.add(interval, step_seconds, resident)
        if self._run.seconds < enough:
            return None
        ended, self._run = self._run, _Run()
        return self._told(ended, budget_tokens)

    def _told(self, run: _Run, budget_tokens: int) -> StepRow | None:
        prompt = max(self._prompt_tokens / self._prompt_count, 1.0) if self._prompt_count else float(budget_tokens)
        row = run.row(prompt / chunks(prompt, budget_tokens), budget_tokens)
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
    each with s/⌈s/C⌉ tokens of its own and those of the prompts that arrived during the step before. How many those
    are is known in the mean of a Poisson stream only (:func:`window_seconds`): where requests come in clumps, prefills
    are as long as all prompts of a clump together, and a row says the less the more of them there are.
    """

    def __init__(self) -> None:
        self._prompt_rate: float | None = None
        self._clumps = _Clumps()
        self._latency: float | None = None
        self._mean_count: float | None = None
        self.mean_seconds: float | None = None
        """Time from the first scheduling of a request to its first token, in the recent mean [s]."""

    def read(self, interval: Interval, kv_tokens: float | None, budget_tokens: int) -> StepRow | None:
        """The mean prefill step of the requests that finished in the interval, if they say something sure."""
        computed = computed_tokens(interval)
        rate = computed / interval.seconds
        before = rate if self._prompt_rate is None else self._prompt_rate
        self._prompt_rate = before + _RATE_MEMORY * (rate - before)
        resident, count = _resident(interval, kv_tokens), interval.lengths_count
        self._clumps.add(interval.first_tokens)
        if interval.inter_tokens and interval.inter_token_seconds is not None:
            self._latency = interval.inter_token_seconds / interval.inter_tokens
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
        prompt = max(uncached_prompt_tokens(interval) / count, 1.0)
        decoding = max(sum(r or 0.0 for r in interval.running) / 2 - 1, 0.0)
        room = max(budget_tokens - decoding, 1.0)  # decoding sequences have their tokens of the budget first
        pieces = chunks(prompt, room)
        # judged by means: to pass over the rows that were long themselves would make steps look short
        chunk, chunk_seconds = prompt / pieces, self.mean_seconds / pieces
        window = window_seconds(interval, computed / chunk, chunk_seconds, self._latency or chunk_seconds)
        others = self._prompt_rate * window + self._clumps.companions(window, interval.seconds) * chunk
        if others > max(_CONTENTION_RATIO * (room - chunk), _LEAST_CONTENTION_RATIO * chunk):
            return None
        if prompt > room:
            # who finds another prompt in its first step gets what that one leaves, and needs half a step more
            pieces += 0.5 * (1 - exp(-others / chunk))
        tokens, seconds = min(prompt / pieces + others, room), took / pieces
        alone = 1 / (1 + self._clumps.excess) ** 2
        # the mean over requests is wanted: where those that began together end together, many have waited for many
        usual = count if self._mean_count is None else self._mean_count
        self._mean_count = usual + _RATE_MEMORY * (count - usual)
        return StepRow((decoding, tokens, resident, 1.0), seconds, alone * count / max(usual, 1.0))


@dataclass(slots=True)
class _Clumps:
    """How many more requests begin together than would by chance."""

    last: float = 0.0
    requests: float = 0.0
    variances: float = 0.0

    def add(self, requests: float | None) -> None:
        """Take the requests whose prefill ended in an interval."""
        if requests is not None:
            # neighbouring intervals tell clumps from a rate that moves, as when an idle server gets its first load
            variance = (requests - self.last) ** 2 / 2
            self.last = requests
            self.requests = _CLUMPS_MEMORY * self.requests + requests
            self.variances = _CLUMPS_MEMORY * self.variances + variance

    @property
    def excess(self) -> float:
        """Others in the same interval as the mean request, beyond those of a Poisson stream; at least 0."""
        return max(self.variances / self.requests - 1, 0.0) if self.requests else 0.0

    def companions(self, window_seconds: float, interval_seconds: float) -> float:
        """How many of those others come within a window that is shorter than the interval.

        All of them where a clump comes at once, the window's share of them where it is the rate that moves slowly:
        what is between the two is not known, so the mean of both in logarithms.
        """
        return self.excess * sqrt(min(window_seconds / interval_seconds, 1.0))


def window_seconds(interval: Interval, chunks_computed: float, chunk_seconds: float, latency: float) -> float:
    """How long, in the mean, the requests have gathered that a request finds itself scheduled with [s].

    Whoever arrives waits for the end of the step under way, with all that arrived since it began: Σd²/t over the
    steps d of a time t (a step is met the more likely the longer it is; renewal theory), and nothing while the engine
    idles. ``chunk_seconds`` is how long steps with prompt tokens take; the other ones follow from the number of steps,
    and are no longer than the latency between tokens.
    """
    steps = interval.steps
    if not steps:
        return min(latency, chunk_seconds)
    share = 1 - exp(-chunks_computed / steps)
    other = max(interval.seconds / steps - share * chunk_seconds, 0.0) / (1 - share) if share < 1 else 0.0
    other = min(other, latency)
    squares = share * chunk_seconds**2 + (1 - share) * other**2
    return min(steps * squares / interval.seconds, max(chunk_seconds, other))


def computed_tokens(interval: Interval) -> float:
    """Prompt tokens computed in the interval; all of them where vLLM does not tell the cached ones."""
    if interval.prompt_tokens_computed is not None:
        return interval.prompt_tokens_computed
    return interval.prompt_tokens or 0.0


def uncached_prompt_tokens(interval: Interval) -> float:
    """Prompt tokens of the requests that finished in the interval, less those found in the prefix cache."""
    cached = 1 - computed_tokens(interval) / interval.prompt_tokens if interval.prompt_tokens else 0.0
    return interval.lengths_prompt_tokens * (1 - min(max(cached, 0.0), 1.0))


def chunks(prompt_tokens: float, budget_tokens: float) -> float:
    """Steps that a prompt of such a mean length takes: of many prompts the last chunk is half full in the mean."""
    return 1.0 if prompt_tokens <= budget_tokens else prompt_tokens / budget_tokens + 0.5


def _resident(interval: Interval, kv_tokens: float | None) -> float | None:
    usage0, usage1 = interval.kv_usage_ratio
    return None if kv_tokens is None or usage0 is None or usage1 is None else (usage0 + usage1) / 2 * kv_tokens
