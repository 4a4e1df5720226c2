"""Do a log's requests fit what the engine's own counters say? Where they contradict each other, the log loses.

Logs and traces come from outside, traces perhaps from anybody who reaches the port. The engine's counters tell how many
requests finished and how long they were; a log may show fewer, if it is sampled or late, but neither many more nor much
longer or shorter ones.
"""

from __future__ import annotations

from collections import deque

from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval

_MORE_RATIO = 0.25
"""Share by which a log may show more requests than finished [1]. Choice: a clock that is 30 s off shows as many more in
a window of two minutes while the rate doubles."""
_MORE_REQUESTS = 10.0
"""And by how many in any case [requests]. Choice: those of a scrape or two at the window's edges."""
_LENGTH_RATIO = 1.5
"""Ratio of mean lengths by log and by counters from which on they contradict each other [1]. Choice: both see the same
requests, so half as much again is far beyond chance; a tokenizer that counts otherwise stays within a tenth."""
_LEAST_REQUESTS = 10.0
"""Requests on both sides from which on lengths are compared [requests]. Choice: fewer may be odd ones of the edges."""
_BIN_SECONDS = 1.0
"""Time that a log's requests are summed over [s]. Choice: the usual scrape interval."""


class LogCheck:
    """Sums of both sides over the same window. Bounded memory, whatever comes."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._counted: deque[tuple[float, float, float, float, float]] = deque(maxlen=MOST_KEPT_INTERVALS)
        """By interval: its start, requests that finished, those of known lengths, their prompt and output tokens."""
        self._logged: dict[int, list[float]] = {}
        """By bin: requests that completed, their prompt and output tokens."""

    def update(self, interval: Interval) -> None:
        """Take an interval of the engine's counters."""
        if not interval.goes_on:
            self._counted.clear()
            return
        lengths = (interval.lengths_count, interval.lengths_prompt_tokens, interval.lengths_output_tokens)
        self._counted.append((interval.start, interval.finished or interval.lengths_count, *lengths))
        first = interval.end - self._window
        while self._counted and self._counted[0][0] < first:
            self._counted.popleft()
        for old in [index for index in self._logged if (index + 1) * _BIN_SECONDS <= first]:
            del self._logged[old]

    def update_request(self, finish: float, share: float, prompt_tokens: int, output_tokens: int) -> None:
        """Take a completed request of a log, or the ``share`` of it that is this engine's."""
        index = int(finish // _BIN_SECONDS)
        if index in self._logged or len(self._logged) < 2 * self._window / _BIN_SECONDS:
            sums = self._logged.setdefault(index, [0.0, 0.0, 0.0])
            for place, value in enumerate((1.0, float(prompt_tokens), float(output_tokens))):
                sums[place] += share * value

    @property
    def contradicts(self) -> bool:
        """Whether what the log shows cannot have been this engine's traffic of the time that both have seen."""
        if not self._counted:
            return False
        since = self._counted[0][0]
        bins = [sums for index, sums in self._logged.items() if index * _BIN_SECONDS >= since]
        if not bins:
            return False
        logged, log_prompt, log_output = map(sum, zip(*bins, strict=True))
        _, finished, known, prompt, output = map(sum, zip(*self._counted, strict=True))
        if logged > (1 + _MORE_RATIO) * finished + _MORE_REQUESTS:
            return True
        if min(logged, known) < _LEAST_REQUESTS:
            return False
        means = ((log_prompt / logged, prompt / known), (log_output / logged, output / known))
        return any(by_log > _LENGTH_RATIO * mean or mean > _LENGTH_RATIO * by_log for by_log, mean in means)
