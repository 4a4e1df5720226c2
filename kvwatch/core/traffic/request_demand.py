"""E[g] three ways: from a request log, from the moments that plain metrics give, and from the memory held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf
from typing import NamedTuple

from kvwatch.core.traffic.lengths import Span
from kvwatch.core.traffic.matched_lengths import BUCKETS_COARSE, Buckets, unclustered
from kvwatch.core.traffic.residual_deviation import residual_deviation
from kvwatch.estimate import KeyedEstimate, Reason
from kvwatch.queueing.demand import mean_computed, mean_demand, mean_steps
from kvwatch.stats.group_moments import PairMoments, pair_moments

METHODS = ("joint", "moments", "occupancy")
"""How E[g] may come to be known: by a log of lengths, by the moments of the lengths, by the memory in use."""
MIN_REQUESTS = 20
"""Finished requests from which on means and second moments are worth telling [requests]. Choice: a mean of g is then
known to a fifth; half would report μ sooner, and a third of it off, double keeps a quiet engine without one."""

_SHARING_RATIO = 0.02
"""Share of prompt tokens found in the cache above which lengths overstate the memory held [1]. Choice: below it shared
prefixes cannot explain a disagreement of 15%."""

_CHANCE_DEVIATIONS = 3.0
"""Standard deviations up to which two estimates of the same differ by chance [sd]. Choice: beyond lies one look in
three hundred, while a fault of a factor of two is beyond it after a few tens of requests."""


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
    since: float | None = None
    """Time from which on they are [unix s]."""
    chance_ratio: float = 1.0
    """Factor by which E[g] by lengths and by occupancy may differ with nothing wrong [1]; 1 where nobody asked."""

    @property
    def residual_ratio(self) -> float | None:
        """(joint or moments)/occupancy − 1: how far two independent estimates are apart."""
        lengths = self.by_method.get("joint", self.by_method.get("moments"))
        occupancy = self.by_method.get("occupancy")
        return None if lengths is None or not occupancy else lengths / occupancy - 1

    @property
    def unexplained_ratio(self) -> float:
        """The same where neither shared prefixes nor chance explain it; 0 where they may, or where it is not known."""
        residual = self.residual_ratio
        if residual is None or (self.cached_ratio or 0.0) > _SHARING_RATIO:
            return 0.0
        return residual if max(1 + residual, 1 / (1 + residual)) > self.chance_ratio else 0.0

    @property
    def joint_moments_ratio(self) -> float | None:
        """joint/moments − 1: how far the log's requests are from those that the metrics count."""
        joint, moments = self.by_method.get("joint"), self.by_method.get("moments")
        return None if joint is None or not moments else joint / moments - 1


class LengthBounds(NamedTuple):
    """What holds for single lengths: how the histograms' buckets fill, and the longest request [tokens]."""

    buckets: Buckets = (None, None)
    longest: float = inf


def estimate(
    spans: Sequence[Span],
    block_tokens: int,
    chunk_tokens: int,
    joint: float | None,
    bounds: LengthBounds | None = None,
) -> DemandEstimates:
    """All estimates that the window's spans allow; ``joint`` is E[g] of a request log over the same window.

    With ``bounds`` of the lengths, requests that finish together may be alike, and it is found out how far the
    estimates may be apart by chance.
    """
    by_method: dict[str, float] = {} if joint is None else {"joint": joint}
    counts = [s.count for s in spans]
    requests = sum(counts)
    summed = pair_moments(counts, [s.prompt_tokens for s in spans], [s.output_tokens for s in spans])
    if summed is None or summed.mean_o <= 0:
        return DemandEstimates(by_method, requests)
    moments = unclustered(summed, *bounds) if bounds is not None else summed
    by_method["moments"] = mean_demand(moments, block_tokens, chunk_tokens)
    work = _work(spans)
    occupancy = work.occupancy(moments.mean_o)
    if occupancy is not None:
        by_method["occupancy"] = occupancy
    return DemandEstimates(
        by_method=by_method,
        requests=requests,
        moments=moments,
        steps=mean_steps(moments, chunk_tokens),
        compute_tokens=mean_computed(moments, work.cached_ratio),
        cached_ratio=work.cached_ratio,
        decoding=work.decoding,
        since=spans[0].end,
        chance_ratio=_chance_ratio(spans, summed, moments, (block_tokens, chunk_tokens)) if bounds is not None else 1.0,
    )


def _chance_ratio(spans: Sequence[Span], summed: PairMoments, moments: PairMoments, sizes: tuple[int, int]) -> float:
    """Factor by which E[g] by these moments and by occupancy may differ with nothing wrong [1].

    By chance; and where those that finish together are alike, only the histograms' buckets tell the variances.
    ``sizes`` are those of blocks and prompt chunks [tokens].
    """
    factor = exp(_CHANCE_DEVIATIONS * (residual_deviation(spans, summed, moments) or 0.0))
    if moments == summed:
        return factor
    least = replace(moments, var_s=moments.var_s / BUCKETS_COARSE**2, var_o=moments.var_o / BUCKETS_COARSE**2)
    return factor * mean_demand(moments, *sizes) / mean_demand(least, *sizes)


@dataclass(frozen=True, slots=True)
class _Work:
    """What the engine did over a window.

    ``held_token_steps`` are Σ over steps of the KV tokens held, with the ``held_generated`` tokens made meanwhile;
    ``None`` where they are known for less than half of the spans. ``cached_ratio`` is the share of prompt tokens that
    were not computed, ``None`` where vLLM does not say. ``decoding`` requests made a token in the mean step.
    """

    held_token_steps: float | None
    held_generated: float
    cached_ratio: float | None
    decoding: float | None

    def occupancy(self, mean_output_tokens: float) -> float | None:
        """E[g] by Little's law in steps: token·steps held per request's worth of generated tokens.

        Requests are counted by tokens generated over mean output, which moves smoothly where finishes come in bursts.
        Summing held tokens step by step keeps the estimate right while the step time moves with the memory held.
        """
        if not self.held_token_steps or self.held_generated <= 0:
            return None
        return self.held_token_steps / (self.held_generated / mean_output_tokens)


def _work(spans: Sequence[Span]) -> _Work:
    # one pass: an engine's view takes hundreds of spans, twice
    held = held_generated = generated = steps = prompt = computed = 0.0
    known, all_known = 0, True
    for span in spans:
        generated += span.generation_tokens
        steps += span.steps
        prompt += span.prompt_all
        if span.held_token_steps is not None:
            held += span.held_token_steps
            held_generated += span.generation_tokens
            known += 1
        if span.prompt_computed is None:
            all_known = False
        else:
            computed += span.prompt_computed
    return _Work(
        held_token_steps=held if known >= len(spans) / 2 else None,
        held_generated=held_generated,
        cached_ratio=min(max(1 - computed / prompt, 0.0), 1.0) if all_known and prompt > 0 else None,
        decoding=generated / steps if steps > 0 else None,
    )


def request_demand(demand: DemandEstimates) -> KeyedEstimate:
    """E[g] by method [token·steps]."""
    enough = "joint" in demand.by_method or (bool(demand.by_method) and demand.requests >= MIN_REQUESTS)
    return KeyedEstimate(demand.by_method, verdict=Reason.OK if enough else Reason.TOO_FEW_REQUESTS)
