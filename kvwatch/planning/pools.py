"""Prefill and decode on servers of their own: the two engines that one becomes.

A prefill server computes the prompt and the first token, and hands the KV on. A decode server holds prompt and output
and makes the other tokens; what takes no time there is the prompt. The transfer of the KV is left out: it takes time of
the first token and none of either engine, where the link keeps up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kvwatch.embedded.latency_curve import Slo
from kvwatch.planning.engine import Basis, Known, Law, PlannedEngine

PREFILL, DECODE = "prefill", "decode"
_WIDE_BUDGET_TOKENS = 1 << 20
"""Token budget of a step of a decode server, whose prompts come computed [tokens]. Choice: none takes two steps."""


@dataclass(frozen=True, slots=True)
class _WithoutPrompts:
    """A step law for steps in which prompts take no time."""

    law: Law

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        del prefill_tokens, share
        return self.law.step_seconds(decoding, 0.0, resident_tokens, 0.0)

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        del prefill_tokens, prefill_share
        return self.law.mean_seconds(decoding, 0.0, resident_tokens, 0.0)


def pools(engine: PlannedEngine) -> Mapping[str, PlannedEngine]:
    """An engine of each role with the same memory, seats and step law."""
    apart = Basis("prefill and decode", "on servers of their own; the transfer of KV takes no time", Known.ASSUMED)
    basis = (*engine.basis, apart)
    prompts = tuple(replace(shape, output_tokens=1) for shape in engine.pool)
    outputs = tuple(replace(shape, shared_prefix_tokens=0) for shape in engine.pool if shape.output_tokens > 1)
    settings = replace(engine.settings, max_num_batched_tokens=_WIDE_BUDGET_TOKENS, enable_prefix_caching=False)
    return {
        PREFILL: replace(engine, pool=prompts, basis=basis),
        DECODE: replace(engine, pool=outputs, settings=settings, law=_WithoutPrompts(engine.law), basis=basis),
    }


def target_of(role: str, slo: Slo) -> Slo:
    """What of a latency target a role has to keep to: the first token is the prefill servers', the rest decode's."""
    if role == PREFILL:
        return Slo(slo.wait_seconds, slo.first_token_seconds)
    return Slo(slo.wait_seconds, between_seconds=slo.between_seconds)
