"""What scrape intervals say about the step law: mean compositions (n, p, K, φ) with their step times."""

from __future__ import annotations

from kvwatch.core.interval import Interval
from kvwatch.core.steps.mean_step import Run, StepRow
from kvwatch.core.steps.prompt_chunks import PromptChunks

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
_HELD_MEMORY = 0.9
"""Share of the memory and request gauges that is kept at each interval [1]. Choice: the last ten count: what each
request holds moves with the mix, its reading scatters with every finish."""
LONGEST_STEP_SECONDS = 5.0
"""Wait between two steps beyond which it is a pause of the host, or the engine hangs [s]. Choice: the longest prefill
step of a large budget takes some seconds on a CPU."""
_LIGHT_TOKENS = 200.0
"""Inter-token times that a row of an engine that idles in between rests on [tokens]. Choice: their mean is then known
to some per cent."""
_LIGHT_PREFILLS = 10.0
"""Prefills that it rests on where prompts were computed [requests]. Choice: how many met each other is then known to a
third, and ten rows are the rule."""


class StepRows:
    """Mean steps over consecutive intervals without preemptions, whose recomputed tokens no counter shows.

    A prompt is counted when its last chunk is done. Where that takes a good part of a scrape interval, the steps
    that computed it are in one interval and its tokens in the next; over ten prefills this evens out.
    """

    def __init__(self) -> None:
        self._busy, self._light = Run(), Run()
        self._prompts = PromptChunks()
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
        enough = min(_PREFILLS_LONG * self._learn_prefill(interval), _LONGEST_RUN_SECONDS)
        usable = self._running and interval.steps is not None and not interval.preemptions
        busy = bool(usable) and all(interval.running)
        self._silent_seconds = self._silent_seconds + interval.seconds if busy and not interval.steps else 0.0
        if self._silent_seconds > LONGEST_STEP_SECONDS:
            self._busy = Run()
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
        self._busy = Run()
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

    def _learn_prefill(self, interval: Interval) -> float:
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
        run, self._busy = self._busy, Run()
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
        self._light = Run()
        row = run.token_row(self._prompts, self._held / self._running)
        return [row] if row is not None else []
