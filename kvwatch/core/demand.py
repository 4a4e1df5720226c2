"""E[g] three ways: from a request log, from the moments that plain metrics give, and from the memory held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvwatch.core.lengths import Span
from kvwatch.queueing.demand import mean_demand, mean_steps
from kvwatch.stats.group_moments import PairMoments, pair_moments


@dataclass(frozen=True, slots=True)
class DemandEstimates:
    """E[g] by method [token·steps] over one window, and the means that the other limits need.

    ``steps`` is E[T], ``compute_tokens`` E[w]; ``cached_ratio`` the share of prompt tokens found in the cache,
    ``decoding`` the requests that decoded together in the mean step.
    """

    by_method: dict[str, float]
    requests: float
    moments: PairMoments | None = None
    steps: float | None = None
    compute_tokens: float | None = None
    cached_ratio: float | None = None
    decoding: float | None = None

    @property
    def residual_ratio(self) -> float | None:
        """(joint or moments)/occupancy − 1: how far two independent estimates are apart."""
        lengths = self.by_method.get("joint", self.by_method.get("moments"))
        occupancy = self.by_method.get("occupancy")
        return None if lengths is None or not occupancy else lengths / occupancy - 1

    @property
    def joint_moments_ratio(self) -> float | None:
        """joint/moments − 1: how far the log's requests are from those that the metrics count."""
        joint, moments = self.by_method.get("joint"), self.by_method.get("moments")
        return None if joint is None or not moments else joint / moments - 1


def estimate(spans: Sequence[Span], block_tokens: int, chunk_tokens: int, joint: float | None) -> DemandEstimates:
    """All estimates that the window's spans allow; ``joint`` is E[g] of a request log over the same window."""
    by_method: dict[str, float] = {} if joint is None else {"joint": joint}
    requests = sum(s.count for s in spans)
    moments = pair_moments([s.count for s in spans], [s.prompt_tokens for s in spans], [s.output_tokens for s in spans])
    if moments is None or moments.mean_o <= 0:
        return DemandEstimates(by_method, requests)
    by_method["moments"] = mean_demand(moments, block_tokens, chunk_tokens)
    occupancy = _occupancy(spans, moments.mean_o)
    if occupancy is not None:
        by_method["occupancy"] = occupancy
    cached = _cached_ratio(spans)
    return DemandEstimates(
        by_method=by_method,
        requests=requests,
        moments=moments,
        steps=mean_steps(moments, chunk_tokens),
        compute_tokens=moments.mean_s * (1 - (cached or 0.0)) + moments.mean_o - 1,
        cached_ratio=cached,
        decoding=_ratio(sum(s.generation_tokens for s in spans), sum(s.steps for s in spans)),
    )


def _occupancy(spans: Sequence[Span], mean_output_tokens: float) -> float | None:
    """Little's law in steps: token·steps held per request's worth of generated tokens.

    Requests are counted by tokens generated over mean output, which moves smoothly where finishes come in bursts.
    Summing held tokens step by step keeps the estimate right while the step time moves with the memory held.
    """
    known = [(s.held_token_steps, s.generation_tokens) for s in spans if s.held_token_steps is not None]
    total, generated = sum(held for held, _ in known), sum(tokens for _, tokens in known)
    if generated <= 0 or len(known) < len(spans) / 2:
        return None
    return total / (generated / mean_output_tokens) if total > 0 else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _cached_ratio(spans: Sequence[Span]) -> float | None:
    """Share of prompt tokens that were not computed here; ``None`` where vLLM does not tell."""
    computed = [s.prompt_computed for s in spans]
    prompt = sum(s.prompt_all for s in spans)
    if prompt <= 0 or any(c is None for c in computed):
        return None
    return min(max(1 - sum(c for c in computed if c is not None) / prompt, 0.0), 1.0)
