"""What does an engine do at full load, by flow conservation alone, and what does that depend on?

The closed form (queueing.full_load) knows no evictions, no admission rules and no fluctuation; a run of the embedded
engine corrects it (``correction.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kvwatch.constants import TINY
from kvwatch.core.traffic.mix import Mix
from kvwatch.queueing.capacity import Demand, Limits
from kvwatch.queueing.full_load import FullLoad, full_loads
from kvwatch.stats.step_law_fit import LawFit

_OPEN_DEVIATION = 0.1
"""Relative sd of the full step, from not knowing the model, above which that is said [1]. Choice: with half of it most
engines would say so at a quarter of their capacity, with double μ may be a third off unsaid."""


@dataclass(frozen=True)
class FullEngineInputs:
    """All that the rate at full load depends on."""

    mix: Mix
    law: LawFit
    kv_tokens: float
    block_tokens: int
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    max_model_len: int | None
    watermark_ratio: float = 0.0
    """Share of the KV cache that an admission leaves free [1]."""

    @property
    def demand(self) -> Demand:
        """E[g], E[T] and E[w] of the mix; under prefix sharing E[g] is what is really held."""
        d = self.mix.demand
        g = self.mix.held
        if d.moments is not None and d.steps is not None:
            g -= self.mix.sharing * (d.cached_ratio or 0.0) * d.moments.mean_s * d.steps
        return Demand(max(g, 1.0), d.steps, d.compute_tokens)

    @property
    def limits(self) -> Limits:
        """M, S and C as far as they are known."""
        return Limits(self.kv_tokens, self.max_num_seqs, self.max_num_batched_tokens)

    @cached_property
    def closed_form(self) -> Mapping[str, FullLoad]:
        """The full engine under each limit, without evictions; worked out once, when first asked for."""
        d = self.mix.demand
        if d.moments is None or d.steps is None:
            return {}
        prompt = d.moments.mean_s * (1 - (d.cached_ratio or 0.0))
        chunks = max(d.steps - d.moments.mean_o + 1, 1.0)
        # this prompt is without what the cache had, so the law takes it as it is
        return full_loads(self.demand, self.limits, prompt, chunks, FullLaw(self.law).step_seconds)

    def model_matters(self, load: FullLoad) -> bool:
        """Whether it is open if the model is a mixture of experts, and μ another one if it is."""
        return self.law.shape_deviation(load.composition) > _OPEN_DEVIATION

    @property
    def full_law(self) -> FullLaw:
        """The step law at full load."""
        cached = self.mix.demand.cached_ratio or 0.0
        shared = cached * self.mix.sharing
        return FullLaw(self.law, (1 - cached) / max(1 - shared, TINY))


@dataclass(frozen=True, slots=True)
class FullLaw:
    """The fitted law as the embedded engine asks for it.

    ``uncached_ratio`` is the share of the prompt tokens that the embedded engine computes and the real one does too:
    hits that are not shared are computed by the embedded engine alone.
    """

    fit: LawFit
    uncached_ratio: float = 1.0

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Duration of one step of the embedded engine [s]."""
        return self.fit.seconds((decoding, prefill_tokens * self.uncached_ratio, resident_tokens, share))

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """Mean duration of the embedded engine's steps [s]."""
        return self.step_seconds(decoding, prefill_tokens, resident_tokens, prefill_share)
