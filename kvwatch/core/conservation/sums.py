"""Rises of an engine's counters, summed up over as long as a law needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvwatch.constants import TINY
from kvwatch.facts import EngineSample, Histogram

_MOST_RATIO = 4.0
"""Time of the tokens in one interval over what those that run or are evicted can have taken, up to which it counts [1].
Choice: above what is a contradiction in the mean, and so little that one interval in eight makes none."""
_EVICTED_RATIO = 1.25
"""Requests between two tokens over those that run, of an engine that evicts [1]. Measured: engines of
bench/congestion in waves of eviction have up to 1.39 in the mean of a minute, recordings of a real server up to 1.29;
that may be half as much again before it is a contradiction."""
Flow = Mapping[str, float]
"""Rises of one interval by name; what the server does not show has none."""


def _part(name: str, part: str) -> Callable[[EngineSample], float | None]:
    def read(sample: EngineSample) -> float | None:
        histogram: Histogram | None = getattr(sample, name)
        found: float | None = getattr(histogram, part) if histogram is not None else None
        return found

    return read


def _field(name: str) -> Callable[[EngineSample], float | None]:
    def read(sample: EngineSample) -> float | None:
        found: float | None = getattr(sample, name)
        return found

    return read


_COUNTERS: Mapping[str, Callable[[EngineSample], float | None]] = {
    **{
        name: _field(name)
        for name in (
            "finished",
            "prompt_tokens",
            "prompt_tokens_computed",
            "generation_tokens",
            "preemptions",
            "steps",
            "step_tokens",
            "inter_token_count",
            "inter_token_seconds_sum",
            "first_token_count",
            "prefill_seconds_sum",
            "spec_decode_drafts",
        )
    },
    "first_token_seconds": _part("first_token_seconds", "total"),
    "prompts": _part("request_prompt_tokens", "count"),
    "prompt_lengths": _part("request_prompt_tokens", "total"),
    "outputs": _part("request_generation_tokens", "count"),
    "output_lengths": _part("request_generation_tokens", "total"),
}
"""What is counted: requests, tokens, steps, and seconds; ``prompts`` and ``outputs`` are finished requests by the two
histograms of lengths, whose sums are ``prompt_lengths`` and ``output_lengths``."""
_BUCKETED = {
    "prompt": "request_prompt_tokens",
    "output": "request_generation_tokens",
    "inter_token": "inter_token_seconds",
}
"""Histograms whose sums must lie within their buckets."""


def flow(seconds: float, before: EngineSample, now: EngineSample) -> dict[str, float]:
    """The rises between two samples, with ``seconds`` and the request-seconds that the gauges say.

    A counter that falls is as one that is not shown. ``running_fall`` is by how many fewer run at its end,
    ``evicted_waiting`` how many of those that wait may have been evicted. ``busy_seconds`` are those in which requests
    run, ``step_seconds`` what the steps took if each took as long as the time between two tokens. Of the time of the
    tokens ``bounded_seconds`` is at most four times what those that run and those that are evicted can have taken,
    which ``held_seconds`` are: a request that is aborted inside an engine may add times as long as the host's uptime,
    once.
    """
    found = {"seconds": seconds}
    for name, read in _COUNTERS.items():
        a, b = read(before), read(now)
        if a is not None and b is not None and b >= a:
            found[name] = b - a
    for name, histogram in _BUCKETED.items():
        bounds = _bounds(getattr(before, histogram), getattr(now, histogram))
        if bounds is not None:
            found[name + "_least"], found[name + "_most"] = bounds
    found["stepped_seconds"] = seconds if found.get("steps") else 0.0
    tokens, time = found.get("inter_token_count"), found.get("inter_token_seconds_sum")
    if tokens is not None and "steps" in found:
        # weighted by time as the others are: fast steps are many
        found["batch_seconds"] = tokens / found["steps"] * seconds if found["steps"] else 0.0
        if time is not None:
            found["step_seconds"] = found["steps"] * time / tokens if tokens else 0.0
    if before.running is not None and now.running is not None:
        running = (before.running + now.running) / 2
        found["running_seconds"] = running * seconds
        found["running_fall"] = before.running - now.running
        found["busy_seconds"] = ((before.running > 0) + (now.running > 0)) / 2 * seconds
        found["running_stepped_seconds"] = running * found["stepped_seconds"]
        if before.waiting is not None and now.waiting is not None:
            inside = found["running_seconds"] + (before.waiting + now.waiting) / 2 * seconds
            found["queued_seconds"] = seconds if before.waiting and now.waiting else 0.0
            if before.preemptions is not None:
                found["evicted_waiting"] = min(before.preemptions, before.waiting)
            # who is evicted waits while the time since its last token goes on; without evictions only those that run do
            evicts = found.get("preemptions", 1.0) > 0
            found["held_seconds"] = min(inside, (_EVICTED_RATIO if evicts else 1.0) * found["running_seconds"])
    if found.keys() >= {"inter_token_seconds_sum", "batch_seconds", "held_seconds"}:
        most = _MOST_RATIO * max(found["held_seconds"], found["batch_seconds"])
        found["bounded_seconds"] = min(found["inter_token_seconds_sum"], most)
    return found


def _bounds(before: Histogram | None, now: Histogram | None) -> tuple[float, float] | None:
    """The least and the most that the values of an interval can sum up to, by the buckets that they are in."""
    if before is None or now is None or before.edges != now.edges or not now.edges:
        return None
    least = most = counted = lower = 0.0
    for edge, a, b in zip(now.edges, before.cumulative, now.cumulative, strict=True):
        rise = b - a - counted
        if rise < -TINY:
            return None  # a scrape is no snapshot
        if rise > TINY:
            least, most, counted = least + rise * lower, most + rise * edge, counted + rise
        lower = edge
    return least, most


class Sums:
    """Sums of the rises of some numbers over the same intervals; one that an interval does not show is not known."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._sums = dict.fromkeys(self._names, 0.0)
        self._missing: set[str] = set()
        self.intervals = 0

    def add(self, flow: Flow) -> None:
        """Take an interval."""
        self.intervals += 1
        for name in self._names:
            if name in flow:
                self._sums[name] += flow[name]
            else:
                self._missing.add(name)

    def get(self, name: str) -> float | None:
        """A sum; ``None`` where it is not known."""
        return self._sums[name] if name not in self._missing else None

    def known(self, *names: str) -> dict[str, float]:
        """Those of some sums that are known."""
        return {name: self._sums[name] for name in names if name not in self._missing}
