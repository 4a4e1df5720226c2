"""How many prompt tokens of one request does a step compute, and in how many of the steps are there any?"""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.queueing.full_load import prefill_share

_PROMPTS_MEMORY = 0.98
"""Share of the prompt counts that is kept at each interval [1]. Choice: the last fifty count."""


@dataclass(slots=True)
class PromptChunks:
    """Prompt tokens that a step with prompts computes of each, from those computed and the prefills that ended."""

    budget_tokens: int = 1
    computed: float = 0.0
    prefills: float = 0.0

    def add(self, interval: Interval, budget_tokens: int) -> None:
        """Take an interval of an engine with this token budget."""
        self.budget_tokens = budget_tokens
        if interval.preemptions:
            return  # who was evicted computes its prompt again
        prefills = interval.first_tokens if interval.first_tokens is not None else interval.lengths_count
        self.computed = _PROMPTS_MEMORY * self.computed + computed_tokens(interval)
        self.prefills = _PROMPTS_MEMORY * self.prefills + prefills

    @property
    def chunk_tokens(self) -> float:
        """Prompt tokens of one request in a step, in the mean."""
        prompt = max(self.computed / self.prefills, 1.0) if self.prefills else float(self.budget_tokens)
        return prompt / chunks(prompt, self.budget_tokens)

    def share(self, prefill_tokens: float) -> float:
        """φ of steps that compute ``prefill_tokens`` prompt tokens in the mean."""
        return prefill_share(prefill_tokens, self.chunk_tokens, self.budget_tokens)


def computed_tokens(interval: Interval) -> float:
    """Prompt tokens computed in the interval; all of them where vLLM does not tell the cached ones."""
    if interval.prompt_tokens_computed is not None:
        return interval.prompt_tokens_computed
    return interval.prompt_tokens or 0.0


def chunks(prompt_tokens: float, budget_tokens: float) -> float:
    """Steps that a prompt of such a mean length takes: of many prompts the last chunk is half full in the mean."""
    return 1.0 if prompt_tokens <= budget_tokens else prompt_tokens / budget_tokens + 0.5
