"""What scrape intervals say about the step law: mean compositions (n, p, K, φ) with their step times."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_seconds import IDLE_FACTOR
from kvwatch.queueing.full_load import prefill_share

Composition = tuple[float, float, float, float]
"""Mean n, p and K of some steps, and the share φ of them that compute prompt tokens."""

_LONGEST_PREFILL_SECONDS = 600.0
"""Mean prefill time above which it is damage [s]. Choice: ten minutes; the longest prompts take one."""
_PREFILL_MEMORY = 0.95
"""Share of the known mean prefill time that an interval with finished requests keeps [1]. Choice: the last twenty."""
_PREFILLS_LONG = 10.0
"""Mean prefills that a run of intervals spans [1]. Choice: what is counted in another interval than the steps that
computed it is then a tenth at most."""
_LONGEST_RUN_SECONDS = 20.0
"""Longest such run [s]. Choice: rows must not become rare where prefills queue."""
_STEPS_LONG = 20.0
"""Steps that a run has at least while nobody knows how long prefills take [steps]. Choice: a prefill takes a few."""
_PROMPTS_MEMORY = 0.98
"""Share of the prompt counts that is kept at each interval [1]. Choice: the last fifty count."""
_HELD_MEMORY = 0.9
"""Share of the memory and request gauges that is kept at each interval [1]. Choice: the last ten count: what each
request holds moves with the mix, its reading scatters with every finish."""
LONGEST_STEP_SECONDS = 5.0
"""Wait between two steps beyond which it is a pause of the host, or the engine hangs [s]. Choice: the longest prefill
step of a large budget takes some seconds on a CPU."""
_LEAST_STEPS = 3.0
"""Steps that a row rests on at least [steps]. Choice: with fewer the ends of the interval cut through them."""
_CROWDED_FACTOR = 1.3
"""Counted steps over those that fit into the interval from which several API servers count the same one [1]. Choice:
between the 1 of one server and the 2 of two."""
_SURELY_BUSY = 5.0
"""Requests running in the mean with which the engine hardly ever idles [requests]. Choice: of a Poisson number of mean
5 less than 1% is 0."""
_LIGHT_TOKENS = 200.0
"""Inter-token times that a row of an engine that idles in between rests on [tokens]. Choice: their mean is then known
to some per cent."""
_LIGHT_PREFILLS = 10.0
"""Prefills that it rests on where prompts were computed [requests]. Choice: how many met each other is then known to a
third, and ten rows are the rule."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Mean composition of some steps, their mean duration [s], and how many scrape intervals' worth they say."""

    composition: Composition
    seconds: float
    intervals: float = 1.0


@dataclass(slots=True)
class _Run:
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

    def join(self, other: _Run) -> None:
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

    def row(self, prompts: _Prompts, held_tokens: float) -> StepRow | None:
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

    def token_row(self, prompts: _Prompts, held_tokens: float) -> StepRow | None:
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


@dataclass(slots=True)
class _Prompts:
    """Prompt tokens that a step with prompts computes of each, from those computed and the prefills that ended."""

    budget_tokens: int = 1
    computed: float = 0.0
    prefills: float = 0.0

    def add(self, interval: Interval, budget_tokens: int) -> None:
        self.budget_tokens = budget_tokens
        if interval.preemptions:
            return  # who was evicted computes its prompt again
        prefills = interval.first_tokens if interval.first_tokens is not None else interval.lengths_count
        self.computed = _PROMPTS_MEMORY * self.computed + computed_tokens(interval)
        self.prefills = _PROMPTS_MEMORY * self.prefills + prefills

    @property
    def chunk_tokens(self) -> float:
        """Prompt tokens of one request in a step, in the mean."""
        prompt = max(self.computed / self.prefills, 1.0) if self.prefills else float(self.budget_tokens)
        return prompt / chunks(prompt, self.budget_tokens)

    def share(self, prefill_tokens: float) -> float:
        """φ of steps that compute ``prefill_tokens`` prompt tokens in the mean."""
        return prefill_share(prefill_tokens, self.chunk_tokens, self.budget_tokens)


class StepRows:
    """Mean steps over consecutive intervals without preemptions, whose recomputed tokens no counter shows.

    A prompt is counted when its last chunk is done. Where that takes a good part of a scrape interval, the steps
    that computed it are in one interval and its tokens in the next; over ten prefills this evens out.
    """

    def __init__(self) -> None:
        self._busy, self._light = _Run(), _Run()
        self._prompts = _Prompts()
        self._held = self._running = 0.0
        self._prefill_seconds: float | None = None
        self._silent_seconds = 0.0

    def add(self, interval: Interval) -> list[StepRow]:
        """The rows of runs that are now long enough, or that this interval ends.

        Before any request has finished nobody knows how long prefills take: a run then has twenty steps.
        """
        step_seconds = interval.step_seconds
        self._prompts.add(interval, interval.chunk_tokens)
        self._read_held(interval)
        enough = min(_PREFILLS_LONG * self._mean_prefill(interval), _LONGEST_RUN_SECONDS)
        usable = self._running and interval.steps is not None and not interval.preemptions
        busy = bool(usable) and all(interval.running)
        self._silent_seconds = self._silent_seconds + interval.seconds if busy and not interval.steps else 0.0
        if self._silent_seconds > LONGEST_STEP_SECONDS:
            self._busy = _Run()
            return []
        if busy and (step_seconds or not interval.steps):
            # an interval in which no step ends is part of a long step, whose prompts are counted when it ends
            self._busy.add(interval, step_seconds or 0.0)
            return self._end() if self._busy.seconds >= enough and interval.steps else []
        rows: list[StepRow] = []
        if self._busy.intervals and self._busy.seconds >= enough / 2:
            rows = self._end()
        elif not interval.preemptions:
            self._light.join(self._busy)  # too short by itself, and part of the time over which a light row is the mean
        self._busy = _Run()
        if usable and not any(interval.waiting):
            self._light.add(interval, step_seconds or 0.0)
            rows += self._end_light()
        return rows

    def _read_held(self, interval: Interval) -> None:
        """What a running request holds: memory in use over requests running, both read at the same instant."""
        used, running = interval.kv_usage_ratio[1], interval.running[1]
        if interval.kv_tokens is None or used is None or running is None:
            return
        self._held = _HELD_MEMORY * self._held + used * interval.kv_tokens
        self._running = _HELD_MEMORY * self._running + running

    def _mean_prefill(self, interval: Interval) -> float:
        """Time from the first scheduling of a request to its first token, in the recent mean [s]."""
        count, seconds = interval.lengths_count, interval.prefill_seconds
        if seconds is None and self._prefill_seconds is None:
            return 0.0  # a server that does not tell must not be waited for
        if count and seconds and seconds <= _LONGEST_PREFILL_SECONDS * count:
            took = seconds / count
            known = took if self._prefill_seconds is None else self._prefill_seconds
            self._prefill_seconds = took + _PREFILL_MEMORY * (known - took)
        unknown = _STEPS_LONG / _PREFILLS_LONG * (interval.step_seconds or 0.0)
        return unknown if self._prefill_seconds is None else self._prefill_seconds

    def _end(self) -> list[StepRow]:
        """The row of the busy run, which ends here."""
        run, self._busy = self._busy, _Run()
        if run.idled:
            self._light.join(run)
            return self._end_light()
        row = run.row(self._prompts, self._held / self._running)
        return [row] if row is not None else []

    def _end_light(self) -> list[StepRow]:
        """The row of the engine that idles, once it rests on enough."""
        run = self._light
        if run.inter_tokens < _LIGHT_TOKENS or (run.computed and run.prefills < _LIGHT_PREFILLS):
            return []
        self._light = _Run()
        row = run.token_row(self._prompts, self._held / self._running)
        return [row] if row is not None else []


def computed_tokens(interval: Interval) -> float:
    """Prompt tokens computed in the interval; all of them where vLLM does not tell the cached ones."""
    if interval.prompt_tokens_computed is not None:
        return interval.prompt_tokens_computed
    return interval.prompt_tokens or 0.0


def chunks(prompt_tokens: float, budget_tokens: float) -> float:
    """Steps that a prompt of such a mean length takes: of many prompts the last chunk is half full in the mean."""
    return 1.0 if prompt_tokens <= budget_tokens else prompt_tokens / budget_tokens + 0.5
