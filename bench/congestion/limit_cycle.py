"""The worst limit cycle of requests of one length, in closed form.

All that run were admitted at once. They grow until nothing fits, lose some of theirs at every step, and those that
are left finish together after o steps: M/(s + o) of them, against M/(s + o/2) running evenly spread in equilibrium.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorstCycle:
    """Requests finished per step in the cycle and in equilibrium, the share lost, and the period in steps."""

    rate: float
    equilibrium_rate: float
    period_steps: float

    @property
    def loss_ratio(self) -> float:
        """1 − rate/equilibrium rate: below one half, and close to it where prompts are short."""
        return 1 - self.rate / self.equilibrium_rate


def worst_cycle(kv_tokens: float, prompt_tokens: float, output_tokens: float) -> WorstCycle:
    """The cycle for M tokens of memory and requests of prompt s and output o."""
    s, o = prompt_tokens, output_tokens
    return WorstCycle(kv_tokens / (s + o) / o, kv_tokens / (s + o / 2) / o, o)
