"""Rises of an engine's counters, summed up over as long as a law needs, and forgotten by halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvwatch.facts import EngineSample, Histogram

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
            "generation_tokens",
            "steps",
            "step_tokens",
            "inter_token_count",
            "inter_token_seconds_sum",
            "first_token_count",
            "prefill_seconds_sum",
        )
    },
    "prompts": _part("request_prompt_tokens", "count"),
    "prompt_lengths": _part("request_prompt_tokens", "total"),
    "outputs": _part("request_generation_tokens", "count"),
    "output_lengths": _part("request_generation_tokens", "total"),
}
"""What is counted: requests, tokens, steps, and seconds; ``prompts`` and ``outputs`` are finished requests by the two
histograms of lengths, whose sums are ``prompt_lengths`` and ``output_lengths``."""


def flow(seconds: float, before: EngineSample, now: EngineSample) -> dict[str, float]:
    """The rises between two samples, with ``seconds`` and the request-seconds that the gauges say.

    A counter that falls is as one that is not shown.
    """
    found = {"seconds": seconds}
    for name, read in _COUNTERS.items():
        a, b = read(before), read(now)
        if a is not None and b is not None and b >= a:
            found[name] = b - a
    if before.running is not None and now.running is not None:
        found["running_seconds"] = (before.running + now.running) / 2 * seconds
        if before.waiting is not None and now.waiting is not None:
            found["inside_seconds"] = found["running_seconds"] + (before.waiting + now.waiting) / 2 * seconds
    return found


class Sums:
    """Sums of flows that all show the same numbers; one that shows others begins the sums again."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.intervals = 0.0

    def add(self, flow: Flow) -> None:
        """Take a flow."""
        if self._sums.keys() != flow.keys():
            self._sums, self.intervals = dict.fromkeys(flow, 0.0), 0.0
        for name, rise in flow.items():
            self._sums[name] += rise
        self.intervals += 1

    def halve(self) -> None:
        """Forget half of it."""
        self._sums = {name: total / 2 for name, total in self._sums.items()}
        self.intervals /= 2

    def clear(self) -> None:
        """Forget all."""
        self._sums, self.intervals = {}, 0.0

    def get(self, name: str) -> float | None:
        """A sum; ``None`` where it is not known."""
        return self._sums.get(name)

    def known(self, *names: str) -> dict[str, float]:
        """Those of the sums that are known."""
        return {name: self._sums[name] for name in names if name in self._sums}
