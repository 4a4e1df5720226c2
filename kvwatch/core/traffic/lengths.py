"""Lengths of the requests that finished: sums per scrape interval, kept over a window that grows while they are few."""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass, fields
from functools import reduce

from kvwatch.constants import HOUR_SECONDS, LARGEST_SUM, MINUTE_SECONDS
from kvwatch.core.cause import Cause
from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval
from kvwatch.core.units import in_units

_DUMPED_SPANS = 100
"""Spans of the length window in a state file [intervals]. Choice: second moments need some tens of groups; a hundred
keep the file small."""
_MAY_BE_UNKNOWN = ("held_token_steps", "prompt_computed")
_LEAST_REQUESTS = 60
"""Requests for which a window of lengths reaches back further than its own time [requests]. Choice: a mean of g is then
known to an eighth; double lags behind a change of the traffic for twice as long on a quiet engine."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one or several neighbouring intervals brought: finished requests, and memory held and work done.

    ``held_token_steps`` is Σ over the span's steps of the KV tokens held, ``generation_tokens`` what was generated.
    """

    end: float
    count: float
    prompt_tokens: float
    output_tokens: float
    generation_tokens: float
    held_token_steps: float | None
    steps: float
    prompt_all: float
    prompt_computed: float | None

    def joined(self, other: Span) -> Span:
        """Both spans as one."""
        held, computed = self.held_token_steps, self.prompt_computed
        return Span(
            end=max(self.end, other.end),
            count=self.count + other.count,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            generation_tokens=self.generation_tokens + other.generation_tokens,
            held_token_steps=None if held is None or other.held_token_steps is None else held + other.held_token_steps,
            steps=self.steps + other.steps,
            prompt_all=self.prompt_all + other.prompt_all,
            prompt_computed=None
            if computed is None or other.prompt_computed is None
            else computed + other.prompt_computed,
        )


class LengthWindow:
    """Spans of the last ``window_seconds``, or of as long as it takes to have ``min_requests``, up to an hour.

    Spans older than the window are joined to minutes, so that memory stays bounded.
    """

    def __init__(
        self, window_seconds: float, min_requests: int = _LEAST_REQUESTS, max_spans: int = MOST_KEPT_INTERVALS
    ) -> None:
        self._window = window_seconds
        self._min_requests = min_requests
        self._spacing = window_seconds / max_spans
        self._recent: deque[Span] = deque()
        self._old: deque[Span] = deque()
        self._passed_over: deque[tuple[float, float]] = deque()
        """(end [unix s], length [s]) of the stretches that were passed over: the window is as much longer meanwhile."""

    def update(self, interval: Interval) -> None:
        """Take an interval; one whose finished requests do not stand for the traffic is passed over.

        So is one of which it is not known what was generated: what runs and is not finished would pass for nothing.
        """
        if not interval.goes_on:
            return
        if not interval.representative or interval.generation_tokens is None:
            self._pass_over(interval)
            return
        span = _span(in_units(interval))
        if self._recent and span.end - self._recent[-1].end < self._spacing:
            span = self._recent.pop().joined(span)
        self._recent.append(span)
        reach = self._window + sum(seconds for _, seconds in self._passed_over)
        while self._recent and self._recent[0].end <= span.end - reach:
            self._retire(self._recent.popleft())
        while self._passed_over and self._passed_over[0][0] <= self._recent[0].end:
            self._passed_over.popleft()
        while self._old and self._old[0].end <= span.end - HOUR_SECONDS:
            self._old.popleft()

    def _pass_over(self, interval: Interval) -> None:
        """Leave a stretch out, and keep what the window holds for as much longer."""
        seconds = interval.seconds
        if self._passed_over and self._passed_over[-1][0] == interval.start:
            seconds += self._passed_over.pop()[1]
        self._passed_over.append((interval.end, seconds))

    def _retire(self, span: Span) -> None:
        if self._old and int(self._old[-1].end // MINUTE_SECONDS) == int(span.end // MINUTE_SECONDS):
            span = self._old.pop().joined(span)
        self._old.append(span)

    def begin_anew(self, _cause: Cause) -> None:
        """Forget everything: who finished before is no fair sample of who is inside now."""
        self._recent.clear()
        self._old.clear()
        self._passed_over.clear()

    def cut(self, before: float) -> None:
        """Forget what ended before this time."""
        for kept in (self._old, self._recent):
            while kept and kept[0].end < before:
                kept.popleft()

    def dump(self) -> list[list[float | None]]:
        """The window's spans, joined to at most a hundred, as plain numbers."""
        spans = self.spans()
        size = -(-len(spans) // _DUMPED_SPANS) if spans else 1
        groups = [spans[i : i + size] for i in range(0, len(spans), size)]
        return [list(astuple(reduce(Span.joined, group))) for group in groups]

    def restore(self, state: list[list[float | None]]) -> None:
        """Take up dumped spans as what came before. Raises ValueError or TypeError for what cannot be spans."""
        if not isinstance(state, list) or len(state) > 2 * _DUMPED_SPANS:
            raise TypeError("spans must be a list of at most a few hundred")
        self._old = deque(_restored(numbers) for numbers in state)

    def spans(self, since: float | None = None, enough: float = 0.0) -> list[Span]:
        """The window's spans, oldest first, and as many older ones as are needed to have enough requests.

        Only those after ``since``, if they hold ``enough`` requests.
        """
        if since is not None:
            later = [s for s in self._recent if s.end > since]
            if sum(s.count for s in later) >= enough:
                return later
        chosen = list(self._recent)
        count = sum(s.count for s in chosen)
        for span in reversed(self._old):
            if count >= self._min_requests:
                break
            chosen.insert(0, span)
            count += span.count
        return chosen


def _restored(numbers: list[float | None]) -> Span:
    if not isinstance(numbers, list) or len(numbers) != len(fields(Span)):
        raise ValueError("a span has nine numbers")
    span = Span(*numbers)  # type: ignore[arg-type]
    for field in fields(Span):
        value = getattr(span, field.name)
        if value is None and field.name in _MAY_BE_UNKNOWN:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST_SUM:
            raise ValueError(f"{field.name} of a span cannot be {value!r}")
    return span


def _span(interval: Interval) -> Span:
    step_seconds, kv_tokens = interval.step_seconds, interval.kv_tokens
    usage0, usage1 = interval.kv_usage_ratio
    held: float | None = None
    if usage0 is not None and usage1 is not None and kv_tokens is not None:
        if step_seconds is not None:
            held = (usage0 + usage1) / 2 * kv_tokens * interval.seconds / step_seconds
        elif not interval.steps:
            held = 0.0
    return Span(
        end=interval.end,
        count=interval.lengths_count,
        prompt_tokens=interval.lengths_prompt_tokens,
        output_tokens=interval.lengths_output_tokens,
        generation_tokens=interval.generation_tokens or 0.0,
        held_token_steps=held,
        steps=interval.steps or 0.0,
        prompt_all=interval.prompt_tokens or 0.0,
        prompt_computed=interval.prompt_tokens_computed,
    )
