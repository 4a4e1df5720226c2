"""Seats from the metrics: requests wait, memory has room, and the running batch stands at one number.

A vLLM that has a queue admits until a limit stops it. Where that is neither memory nor the token budget it is the
seats, and then the batch holds exactly as many requests after each step, less those that finished in the step: the
gauge is taken after they have left and before others take their place (vLLM 0.32, v1/core/sched/scheduler.py). A mean
of r requests finish in a step, one by one, so what is missing from the seats has a Poisson distribution of mean r. A
batch that memory or the token budget bounds swings far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from kvwatch.core.settings.queued import Queued

_LEAST_OUTPUT_TOKENS = 4.0
"""Mean output below which a batch says nothing of seats [tokens]. Choice: where requests live for a step or two, as on
a server that only prefills, the token budget admits one after another and that stands at one number too."""
_OUTLIERS_RATIO = 0.1
"""Share of the scrapes that may miss more requests than chance lets finish in a step [1]. Choice: requests that began
together end together, once in a lifetime."""
_SLACK_REQUESTS = 0.25
"""Added to r where it sets how far a mean may be off [requests]. Choice: a scrape in four may miss one, as when the
scrape falls between two updates of one step; where r is tiny no chance would be left otherwise."""
_DEVIATIONS = 3.0
"""Standard errors that the mean of what is missing may lie above r [1]. Choice: one in a thousand by chance."""
_FAR_DEVIATIONS = 4.0
"""Standard deviations of a Poisson number beyond which one scrape is an outlier [1]. Choice: one in ten thousand."""
_FULL_STEP_RATIO = 0.9
"""Tokens of a mean step over the budget from which on the budget may be what holds requests back [1]. Choice: full
steps are full to the token."""
_EXACT_FINISHED = 1.0
"""Requests that finish in a step up to which the seats are seen themselves [requests]. Choice: then a third of all
scrapes show the full batch; with more, seats are the mean of the batch plus r, good to one or two."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Seats as the batch shows them [requests]; where not ``exact`` good to a hundredth or two requests."""

    seats: int
    exact: bool


def standing(queued: Sequence[Queued], budget_tokens: int | None) -> Standing | None:
    """The seats that these scrapes show; ``None`` where they show none.

    ``budget_tokens`` is the token budget where it is known: steps that are full of it explain a queue.
    """
    if not queued:
        return None
    steps, generated = sum(q.steps for q in queued), sum(q.generated_tokens for q in queued)
    if generated < _LEAST_OUTPUT_TOKENS * sum(q.finished for q in queued):
        return None
    tokens = generated + sum(q.computed_tokens or 0.0 for q in queued)
    if budget_tokens is not None and tokens >= _FULL_STEP_RATIO * budget_tokens * steps:
        return None
    running = [q.running for q in queued]
    ended = sum(q.finished for q in queued) / steps
    exact = ended <= _EXACT_FINISHED
    seats = max(*running, 0 if exact else round(sum(running) / len(running) + ended))
    return Standing(int(seats), exact) if _stands(running, seats, ended) else None


def _stands(running: Sequence[float], seats: float, ended: float) -> bool:
    """Whether what is missing from the seats is what finished in a step, and nothing else."""
    spread = ended + _SLACK_REQUESTS
    far = ended + _FAR_DEVIATIONS * sqrt(spread)
    missing = [seats - n for n in running if seats - n <= far]
    if len(missing) < (1 - _OUTLIERS_RATIO) * len(running):
        return False
    return sum(missing) / len(missing) <= ended + _DEVIATIONS * sqrt(spread / len(missing))
