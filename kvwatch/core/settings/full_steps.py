"""The token budget from the metrics: prompts wait, seats and memory have room, and steps stand at one token count.

A vLLM with a queue fills each step to its budget, decoding requests first and then the chunks of prompts. So where
neither memory nor the seats bind, the tokens of a step are the budget. They are counted over intervals, as computed
prompt and output tokens over steps: ``iteration_tokens_total`` counts a prompt as a whole in the step that ends it
(vLLM 0.8.5 to 0.32, v1/metrics/stats.py), so that single observations exceed the budget by up to a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, sqrt

from kvwatch.core.settings.queued import Queued

_LEAST_STEPS = 100.0
"""Steps that must have been full [steps]. Choice: the prompts at the two ends of the time, counted in part, are then a
hundredth of all."""
_LEAST_DECODING = 3.0
"""Requests that decode in a mean step at least [requests]. Choice: a step of which no request has output is not
counted, and beside a mean of three nearly none is."""
_SWING_RATIO = 4.0
"""Variance of the batch over that of the number of requests that finish in a step from which on it swings [1]. Choice:
where the seats hold it they are equal; a token budget lets it swing by the requests that come in, many times as far."""
_LEAST_SWING_REQUESTS = 0.25
"""Least variance that is taken for that of the requests that finish in a step [1]. Choice: a scrape in four may
miss one."""
_LEAST_PROMPT_RATIO = 0.2
"""Share of the tokens that must be prompts' [1]. Choice: where prompts wait and fill each step they are most of it; a
batch that only decodes has steps of one token count too."""
_LEAST_STEP_TOKENS = 32.0
"""Least token count of a step that may be a budget [tokens]. Choice: nobody serves with less than two blocks a step."""
_MOST_SPREAD_RATIO = 0.1
"""Relative standard deviation of a step's tokens from scrape to scrape up to which they stand, beside what the prompts
at the ends of an interval make [1]. Choice: full steps vary by those alone, others by as much as their prompts."""
_WIDEST_SPREAD_RATIO = 0.3
"""The same with those prompts [1]. Choice: with intervals of so few steps nothing is seen to stand."""
_SNAP_RATIO = 0.02
"""Distance within which a budget is taken to be the power of two [1]. Choice: nearly all are powers of two, and the
count is good to one per cent."""
_CUT_PROMPTS = 2.0
"""Prompts that may be counted whole though a part was computed before the first scrape [1]. Choice: a scheduler
that serves in order cuts one at a time; the other is for one that was evicted."""


@dataclass(frozen=True, slots=True)
class StepTokens:
    """What the steps of some scrapes show of the budget [tokens]: it is at least ``floor``, and ``budget`` if known."""

    floor: float
    budget: int | None


def step_tokens(queued: Sequence[Queued], longest_prompt: float, *, seats_free: bool) -> StepTokens | None:
    """What the steps of scrapes with a queue and room in memory show of the token budget; ``None`` where nothing.

    Some requests must have finished in them, as in those of :meth:`QueuedScrapes.newest`.
    ``longest_prompt`` is a bound [tokens]. Only with ``seats_free`` is the budget what the queue waits for.
    """
    steps, finished = sum(q.steps for q in queued), sum(q.finished for q in queued)
    decoded = sum(q.generated_tokens for q in queued) - finished
    if steps < _LEAST_STEPS or decoded < _LEAST_DECODING * steps or any(q.computed_tokens is None for q in queued):
        return None
    tokens = [q.generated_tokens + (q.computed_tokens or 0.0) for q in queued]
    mean = sum(tokens) / steps
    prompts = sum(q.computed_tokens or 0.0 for q in queued)
    full = mean >= _LEAST_STEP_TOKENS and prompts >= _LEAST_PROMPT_RATIO * sum(tokens)
    certain = seats_free and not any(q.may_be_deferred for q in queued)
    budget = _snapped(mean) if certain and full and _swings(queued) and _stand(queued, tokens, mean) else None
    return StepTokens(max(mean - _CUT_PROMPTS * longest_prompt / steps, 0.0), budget)


def _swings(queued: Sequence[Queued]) -> bool:
    """Whether the batch swings more than the requests that finish in a step make it: then the seats do not hold it."""
    running = [q.running for q in queued]
    ended = sum(q.finished for q in queued) / sum(q.steps for q in queued)
    mean = sum(running) / len(running)
    variance = sum((n - mean) ** 2 for n in running) / len(running)
    return variance > _SWING_RATIO * max(ended, _LEAST_SWING_REQUESTS)


def _stand(queued: Sequence[Queued], tokens: Sequence[float], mean: float) -> bool:
    """Whether the tokens of a step are the same from scrape to scrape, but for prompts cut by the scrapes."""
    finished = sum(q.finished for q in queued)
    prompt = sum(q.computed_tokens or 0.0 for q in queued) / finished
    deviations = [count / q.steps - mean for count, q in zip(tokens, queued, strict=True)]
    spread = sqrt(sum(d * d for d in deviations) / len(deviations))
    mean_steps = sum(q.steps for q in queued) / len(queued)
    return spread <= min(_MOST_SPREAD_RATIO * mean + prompt / mean_steps, _WIDEST_SPREAD_RATIO * mean)


def _snapped(mean: float) -> int:
    power = int(2 ** round(log2(mean)))
    return power if abs(mean / power - 1) <= _SNAP_RATIO else round(mean)
