"""Which metrics of an engine others refute: held against each other, sample after sample, before anything is learnt.

A number may be well-formed and wrong: rescaled, counted twice, stuck, or of other requests. vLLM counts the same work
in several metrics, and where two of them agree the third is not believed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.core.conservation.gauges import OpposedUsage, StandingUsage
from kvwatch.core.conservation.requests_and_tokens import RequestsAndTokens
from kvwatch.core.conservation.sums import flow
from kvwatch.core.conservation.work_and_time import WorkAndTime
from kvwatch.facts import VLLM, EngineSample

_WITH = {
    "prompt_tokens": ("prompt_tokens_computed",),
    "inter_token_count": ("inter_token_seconds_sum", "inter_token_seconds"),
    "inter_token_seconds_sum": ("inter_token_seconds",),
}
"""Fields that are not believed with another: parts of it, or the same in another form."""


class Refuted:
    """Follows the samples of one engine as the server shows them."""

    def __init__(self) -> None:
        self._last: tuple[float, EngineSample] | None = None
        self._laws = (RequestsAndTokens(), WorkAndTime())
        self._usage = (StandingUsage(), OpposedUsage())
        self.found: dict[str, Contradiction] = {}
        """What is contradicted now, by field of the sample."""

    def begin_anew(self) -> None:
        """The counters began again: another process may show them right."""
        self._last = None
        for part in (*self._laws, *self._usage):
            part.clear()
        self.found = {}

    def update(self, at: float, sample: EngineSample) -> EngineSample:
        """The sample without what others contradict. Only vLLM's are judged, whose counts are known to be the same."""
        last, self._last = self._last, (at, sample)
        if sample.server != VLLM:
            return sample
        found: dict[str, Contradiction] = {}
        for gauge in self._usage:
            found |= gauge.update(at, sample)
        if last is not None and not sample.asleep:
            rises = flow(at - last[0], last[1], sample)
            for law in self._laws:
                law.update(rises)
        counted, timed = (law.found for law in self._laws)
        # what rests on a count that is refuted refutes nothing
        wrong = {name for field in counted for name in (field, *_WITH.get(field, ()))}
        found |= counted | {field: c for field, c in timed.items() if wrong.isdisjoint(c.against)}
        self.found = found
        gone: dict[str, Any] = {name: None for field in found for name in (field, *_WITH.get(field, ()))}
        return replace(sample, **gone) if gone else sample
