"""Speculative decoding: several tokens in a step of one request.

The theory counts a request's life in steps, of which one with o output tokens then needs about o/a, where a is the
mean number of tokens that a request makes in a step. Measured in units of a tokens, such a server is one without
speculation: a decoding request makes one unit in a step and its KV cache grows by one. So lengths, memory, blocks and
the token budget are taken in that unit, and memory-work is given back in tokens.
"""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.interval import Interval
from kvwatch.facts import Histogram

_MEMORY_RATIO = 0.98
"""Share of the token and output counts that is kept at each interval [1]. Choice: the last fifty intervals count;
acceptance depends on the traffic, which moves over minutes."""
_LEAST_OUTPUTS = 200.0
"""Outputs of a request in a step from which on their mean size is known [requests]. Choice: that of 200 is known to
some per cent."""
_MOVED_RATIO = 0.1
"""Relative change from which on the unit follows the measured one [1]. Choice: each change empties the windows of
lengths; the error in between is a tenth at most."""


class Speculation:
    """The mean number of tokens that a request makes in a step, from what the counters show."""

    def __init__(self) -> None:
        self._tokens = self._outputs = 0.0
        self.unit_tokens = 1.0
        """a, as it is used; it follows the measured one when that has moved by a tenth."""

    def update(self, interval: Interval) -> bool:
        """Take an interval; whether the unit has changed.

        Without speculation each output after the first is one token with one latency; with it, latencies count
        steps, so that tokens over latencies and first tokens is a.
        """
        outputs = (interval.inter_tokens or 0.0) + (interval.first_tokens or 0.0)
        if not interval.sample.spec_decode_drafts or not interval.inter_tokens or interval.generation_tokens is None:
            return False
        self._tokens = _MEMORY_RATIO * self._tokens + interval.generation_tokens
        self._outputs = _MEMORY_RATIO * self._outputs + outputs
        measured = max(self._tokens / self._outputs, 1.0)
        if self._outputs < _LEAST_OUTPUTS or abs(measured / self.unit_tokens - 1) <= _MOVED_RATIO:
            return False
        self.unit_tokens = measured
        return True


def in_units(interval: Interval) -> Interval:
    """The interval with lengths, memory and the histograms' edges in units of its ``unit_tokens``."""
    unit = interval.unit_tokens
    if unit == 1:
        return interval
    prompt, output = interval.sample.request_prompt_tokens, interval.sample.request_generation_tokens
    return replace(
        interval,
        sample=replace(
            interval.sample,
            request_prompt_tokens=_histogram(prompt, unit),
            request_generation_tokens=_histogram(output, unit),
        ),
        kv_capacity=replace(kv, tokens=kv.tokens / unit) if (kv := interval.kv_capacity) is not None else None,
        generation_tokens=_over(interval.generation_tokens, unit),
        prompt_tokens=_over(interval.prompt_tokens, unit),
        prompt_tokens_computed=_over(interval.prompt_tokens_computed, unit),
        lengths_prompt_tokens=interval.lengths_prompt_tokens / unit,
        lengths_output_tokens=interval.lengths_output_tokens / unit,
    )


def _over(tokens: float | None, unit: float) -> float | None:
    return None if tokens is None else tokens / unit


def _histogram(histogram: Histogram | None, unit: float) -> Histogram | None:
    if histogram is None:
        return None
    edges = tuple(edge / unit for edge in histogram.edges)
    return replace(histogram, edges=edges, total=_over(histogram.total, unit))
