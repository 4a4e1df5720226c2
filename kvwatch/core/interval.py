"""What happened in one engine between two scrapes."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.facts import EngineSample


@dataclass(frozen=True, slots=True)
class Interval:
    """Differences of the counters over one scrape interval, and the gauges at its two ends.

    Differences are at least 0; ``None`` where a source is missing or poisoned. ``lengths_*`` are of requests
    that finished, counted only over intervals in which the two length histograms agree on their number.
    """

    start: float
    end: float
    finished: float | None
    steps: float | None
    generation_tokens: float | None
    prompt_tokens: float | None
    prompt_tokens_computed: float | None
    preemptions: float | None
    inter_token_seconds: float | None
    inter_tokens: float | None
    first_tokens: float | None
    prefill_seconds: float | None
    lengths_count: float
    lengths_prompt_tokens: float
    lengths_output_tokens: float
    running: tuple[float | None, float | None]
    waiting: tuple[float | None, float | None]
    kv_usage_ratio: tuple[float | None, float | None]

    @property
    def seconds(self) -> float:
        """Length of the interval."""
        return self.end - self.start


class IntervalReader:
    """Turns the samples of one engine into intervals; tells a reset of the counters from a pause."""

    def __init__(self) -> None:
        self._last: EngineSample | None = None
        self._at = 0.0
        self._lengths: tuple[float, float, float] | None = None

    def read(self, at: float, sample: EngineSample) -> tuple[Interval | None, bool]:
        """The interval that ends with ``sample``, and whether the counters were reset inside it.

        There is none for the first sample, after a reset, or when time has not moved.
        """
        last, start = self._last, self._at
        if last is not None and at <= start:
            return None, False
        self._last, self._at = sample, at
        if last is None or _was_reset(last, sample):
            self._lengths = _lengths(sample)
            return None, last is not None
        return self._between(start, last, at, sample), False

    def _between(self, start: float, a: EngineSample, end: float, b: EngineSample) -> Interval:
        itl_count = _rise(a.inter_token_count, b.inter_token_count)
        itl_seconds = _rise(a.inter_token_seconds_sum, b.inter_token_seconds_sum)
        if itl_count is None or itl_seconds is None or itl_seconds > itl_count * (end - start + 3600):
            itl_count = itl_seconds = None  # engine-side aborts add times as long as the host's uptime
        count, prompt, output = self._take_lengths(b)
        return Interval(
            start=start,
            end=end,
            finished=_rise(a.finished, b.finished),
            steps=_rise(a.steps, b.steps),
            generation_tokens=_rise(a.generation_tokens, b.generation_tokens),
            prompt_tokens=_rise(a.prompt_tokens, b.prompt_tokens),
            prompt_tokens_computed=_rise(a.prompt_tokens_computed, b.prompt_tokens_computed),
            preemptions=_rise(a.preemptions, b.preemptions),
            inter_token_seconds=itl_seconds,
            inter_tokens=itl_count,
            first_tokens=_rise(a.first_token_count, b.first_token_count),
            prefill_seconds=_rise(a.prefill_seconds_sum, b.prefill_seconds_sum),
            lengths_count=count,
            lengths_prompt_tokens=prompt,
            lengths_output_tokens=output,
            running=(a.running, b.running),
            waiting=(_queue(a), _queue(b)),
            kv_usage_ratio=(a.kv_usage_ratio, b.kv_usage_ratio),
        )

    def _take_lengths(self, sample: EngineSample) -> tuple[float, float, float]:
        """Rise of (requests, prompt tokens, output tokens) since the histograms last agreed.

        A scrape is no snapshot: one histogram may already hold a request that the other does not. Such a scrape
        is passed over, and the next one covers both intervals.
        """
        now, before = _lengths(sample), self._lengths
        if now is None:
            return 0.0, 0.0, 0.0
        self._lengths = now
        if before is None:
            return 0.0, 0.0, 0.0
        rises = tuple(n - b for n, b in zip(now, before, strict=True))
        if min(rises) < 0:
            return 0.0, 0.0, 0.0
        return rises[0], rises[1], rises[2]


def _queue(sample: EngineSample) -> float | None:
    """Requests that wait for capacity; deferred ones (LoRA slots, KV transfers) are no sign of load."""
    return sample.waiting_capacity if sample.waiting_capacity is not None else sample.waiting


def _lengths(sample: EngineSample) -> tuple[float, float, float] | None:
    s, o = sample.request_prompt_tokens, sample.request_generation_tokens
    if s is None or o is None or s.count is None or o.count is None or s.total is None or o.total is None:
        return None
    return (s.count, s.total, o.total) if s.count == o.count else None


def _rise(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or after < before else after - before


def _was_reset(a: EngineSample, b: EngineSample) -> bool:
    """Whether the counters started anew between two samples; vLLM can do so without a process restart."""
    if a.created_at is not None and b.created_at is not None and b.created_at > a.created_at + 0.001:
        return True
    return any(
        x is not None and y is not None and y < x
        for x, y in (
            (a.finished, b.finished),
            (a.prompt_tokens, b.prompt_tokens),
            (a.generation_tokens, b.generation_tokens),
            (a.steps, b.steps),
            (a.first_token_count, b.first_token_count),
        )
    )
