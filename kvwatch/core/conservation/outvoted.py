"""Which of three counts of the same batch is wrong: the one that the two others contradict.

Each may be off by itself in one direction: tokens over steps are fewer where several API servers or the stages of a
pipeline count the same step, and more than the others where the engine idles in between; so a number is refuted only by
two that agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvwatch.core.conservation.contradiction import CONTRADICTED_RATIO, RESTORED_RATIO, Contradiction, apart
from kvwatch.core.conservation.decoding import Batch

GROSSLY_RATIO = 3.0
"""Factor that is a contradiction on little evidence, and the least where it rests on how long prompts took [1]. Choice:
the gauge is read once an interval, and a few tens of requests seen so are known to a third; prompts are counted when
their request finishes."""
_LEAST_DECODING = 0.5
"""Tokens in a step over requests that run from which on most of these decode [1]. Choice: two API servers that count
the same step make it a half."""

TIME = Contradiction("inter_token_seconds_sum", ("running", "steps"))
_GAUGE = Contradiction("running", ("inter_token_seconds_sum", "steps"))
_STEPS = Contradiction("steps", ("running", "inter_token_seconds_sum"))
COUNTERS = tuple(
    Contradiction(field, ("running", "inter_token_seconds/_bucket"))
    for field in (
        "finished",
        "prompt_tokens",
        "generation_tokens",
        "first_token_count",
        "steps",
        "inter_token_seconds_sum",
    )
)
"""Where the time of the tokens is as their counts in buckets say: then the counts are what does not fit the clock."""


def refuted_by_all(batch: Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether the time of the tokens, the gauge or the steps contradicts the two others, pauses included."""
    if batch.bounded >= ratio * batch.held and batch.bounded > 0:
        if batch.bounded >= ratio * batch.by_steps:
            return [TIME]
        same = not apart(batch.bounded, batch.by_steps, CONTRADICTED_RATIO)
        return [_GAUGE] if same else []
    many, slow = batch.gauge_factor, batch.pause_factor
    if many is not None and slow is not None and max(many, slow) >= ratio:
        if many < ratio:
            return [_STEPS]
        return [TIME] if slow >= ratio else [_GAUGE]
    ratio = max(ratio, GROSSLY_RATIO)
    decoding = batch.by_steps >= _LEAST_DECODING * batch.by_gauge and batch.by_steps >= ratio * batch.by_time
    stepping = batch.by_gauge * batch.stepped
    if decoding and batch.prefilling is not None and stepping >= ratio * (batch.by_time + batch.prefilling):
        return [TIME]
    return []


def refuted_by_busy(batch: Batch, ratio: float) -> Sequence[Contradiction]:
    """Whether more tokens were made in a step than requests run; which of them is wrong says the time of the tokens.

    Where tokens in a step are as many as requests that run, the time of the tokens is no less: there are no pauses, and
    a prompt that is computed makes no token.
    """
    if batch.by_steps < ratio * batch.by_gauge:
        same = not apart(batch.by_steps, batch.by_gauge, RESTORED_RATIO)
        return [TIME] if same and batch.by_steps >= ratio * batch.by_time else []
    if batch.by_steps >= ratio * batch.by_time:
        return [_STEPS]
    return [] if apart(batch.by_steps, batch.by_time, RESTORED_RATIO) else [_GAUGE]
