"""The traffic's mix of lengths by the metrics alone, over as long as it has not changed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from kvwatch.core.interval import Cause, Interval
from kvwatch.core.traffic.length_shape import LengthShape
from kvwatch.core.traffic.lengths import LengthWindow
from kvwatch.core.traffic.mix import Mix, held_unshared, sharing_ratio
from kvwatch.core.traffic.request_demand import DemandEstimates, estimate
from kvwatch.queueing.demand import block_demand, mean_demand, mean_steps
from kvwatch.queueing.finish_bias import InFlight, arrived_moments, arrived_weights, occupancy_ratio
from kvwatch.queueing.length_mix import LengthLaws, bucket_variance, synthesize
from kvwatch.stats.change import ChangeDetector, change_point
from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]

_MOVED_RATIO = 0.01
"""Relative change of a moment from which on the pool of requests is made again [1]. Choice: below the 3% to which the
moments are known; each making takes some milliseconds."""
_GROWN_RATIO = 0.005
"""Growth of the requests in flight over those finished that is not worth a correction [1]. Choice: it moves E[g] by
less than it."""
_MATCHING_ROUNDS = 4
"""Rounds of moving the second moments towards the memory held [rounds]. Choice: E[g] is linear in them, but for
rounding and cut lengths, so each round takes most of what is missing."""
_CLOSE_RATIO = 0.01
"""Relative gap of E[g] to the memory held at which that ends [1]. Choice: the same 1% at which the pool is made
again."""
_BUCKETS_COARSE = 1.25
"""Variance allowed over that of lengths spread evenly within their buckets [1]. Choice: buckets are as wide as a factor
of 2.5, so evenly filled ones may have a fifth less variance than the lengths."""
_MOST_CORRELATED = 0.9
"""Largest correlation of prompts and outputs that the memory held may ask for [1]. Choice: beyond it outputs would be a
function of prompts, which no traffic has; the outputs' variance takes the rest."""
_REMEMBERED_INTERVALS = 400
"""Intervals with finished requests among which the place of a change is sought [intervals]. Choice: ADWIN sees a change
of the mean within tens of them."""
MIX_REQUESTS = 1000
"""Requests after which the mix reaches back no further [requests]. Choice: a mean of g is then known to about 3%; more
would only make it slower."""
_LEAST_VARIANCE_RATIO = 0.1
"""Part of the outputs' variance that is left whatever the memory held asks for [1]. Choice: lengths of one and the same
value would make waves that the traffic has not."""


class LengthMix:
    """Watches the lengths; forgets what came before a change of the mix."""

    def __init__(self, window_seconds: float) -> None:
        self._window = LengthWindow(window_seconds, min_requests=MIX_REQUESTS)
        self._shape = LengthShape()
        self._running = 0.0
        self._watch = (ChangeDetector(), ChangeDetector())
        self._means: deque[tuple[float, float, float]] = deque(maxlen=_REMEMBERED_INTERVALS)
        self._unit_tokens = 1.0
        self._made: tuple[tuple[float, ...], Array, Array, Array] | None = None
        self.cut_at = float("-inf")
        """When the mix last changed [unix s]."""

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        self._unit_tokens = interval.unit_tokens
        units = interval.in_units()
        if not interval.representative:
            self._shape.begin_anew()
        self._shape.update(units.sample)
        self._running = interval.sample.running or 0.0
        if not interval.goes_on or not interval.representative:
            return
        self._window.update(interval)
        self._watch_mean_lengths(units)

    def _watch_mean_lengths(self, interval: Interval) -> None:
        totals = (interval.lengths_prompt_tokens, interval.lengths_output_tokens)
        changed = self._watch_lengths(interval.end, interval.lengths_count, totals)
        if changed:
            self._cut(changed)

    def _watch_lengths(self, end: float, count: float, totals: tuple[float, float]) -> list[int]:
        """Which of the mean lengths, prompts' (0) and outputs' (1), have changed with these requests."""
        if not count:
            return []
        means = (totals[0] / count, totals[1] / count)
        self._means.append((end, *means))
        changed = [watch.update(mean) for watch, mean in zip(self._watch, means, strict=True)]
        return [which for which, found in enumerate(changed) if found]

    def _cut(self, changed: list[int]) -> None:
        """Forget the intervals before the change."""
        first = max(change_point([means[1 + which] for means in self._means]) for which in changed)
        if first:
            self.cut_at = self._means[first][0]
            self._window.cut(self.cut_at)
            self._shape.clear()
            for _ in range(first):
                self._means.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """Forget the lengths, but for what was restored before the first sample."""
        if cause is not Cause.FIRST:
            self._window.begin_anew(cause)
        self._made = None
        self._shape.begin_anew()

    def dump(self) -> dict[str, object] | None:
        """What is worth keeping over a restart; nothing where lengths are counted in a unit that may be another one."""
        if self._unit_tokens != 1:
            return None
        return {"spans": self._window.dump(), "shape": self._shape.dump()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        self._window.restore(state["spans"])
        self._shape.restore(state["shape"])
        # a mix that changed meanwhile is found by holding the first intervals against what was restored
        for span in self._window.spans():
            self._watch_lengths(span.end, span.count, (span.prompt_tokens, span.output_tokens))

    def demand(self, block_tokens: int, chunk_tokens: int) -> DemandEstimates:
        """What the metrics alone say of the demand over the stationary window."""
        return estimate(self._window.spans(), block_tokens, chunk_tokens, None)

    def get(self, block_tokens: int, chunk_tokens: int, max_tokens: float | None) -> Mix | None:
        """The mix by the metrics alone; ``None`` before second moments are known."""
        sizes = (block_tokens, chunk_tokens)
        demand = self._of_arrived(self.demand(*sizes), sizes, max_tokens or inf)
        if demand.moments is None or demand.steps is None:
            return None
        sharing = sharing_ratio(demand)
        held = held_unshared(demand, sharing)
        s, o, g = self._lengths(demand.moments, held, (block_tokens, chunk_tokens), max_tokens or inf)
        spread = float(g.std()) / float(g.mean())
        # the variance is itself estimated from few groups: as many degrees of freedom short
        deviation = spread / demand.requests**0.5 * (1 + 2 / demand.moments.groups**0.5)
        prefix = (demand.cached_ratio or 0.0) * demand.moments.mean_s * sharing
        prefix_tokens = round(prefix / block_tokens) * block_tokens
        return Mix(demand, s, o, prefix_tokens, held if held is not None else float(g.mean()), deviation, sharing)

    def _of_arrived(self, demand: DemandEstimates, sizes: tuple[int, int], max_tokens: float) -> DemandEstimates:
        """The demand of the requests that arrived, from that of those that finished meanwhile."""
        m = demand.moments
        if m is None:
            return demand
        spans = self._window.spans()
        unfinished = sum(span.generation_tokens - span.output_tokens for span in spans)
        inside = InFlight(m.requests, unfinished, self._running)
        typical = np.array([m.mean_oo / m.mean_o])
        if abs(inside.growth_ratio(typical, np.ones(1))) < _GROWN_RATIO:
            return demand
        s, o = synthesize(
            self._unclustered(m, max_tokens), LengthLaws.of(self._shape.prompt, self._shape.output, max_tokens)
        )
        weights, growth = arrived_weights(o, inside)
        moments = arrived_moments(m, s, o, weights)
        by_method = {**demand.by_method, "moments": mean_demand(moments, *sizes)}
        if "occupancy" in by_method:
            by_method["occupancy"] *= moments.mean_o / m.mean_o * occupancy_ratio(s, o, weights, growth)
        return replace(
            demand,
            by_method=by_method,
            moments=moments,
            steps=mean_steps(moments, sizes[1]),
            compute_tokens=moments.mean_s * (1 - (demand.cached_ratio or 0.0)) + moments.mean_o - 1,
        )

    def _lengths(
        self, moments: PairMoments, held: float | None, sizes: tuple[int, int], max_tokens: float
    ) -> tuple[Array, Array, Array]:
        """Prompts, outputs and their g, with these moments, made again only when one of them has moved.

        Their second moments are moved so that the requests hold as much memory as the engine showed. Where requests
        that finish together are alike (bursts of one class), sums over scrape intervals scatter in another way than
        single requests do, and the second moments that follow are off; occupancy does not depend on that.
        """
        spread = (moments.var_s * moments.var_o) ** 0.5
        # a covariance near 0 moves by many times itself: what matters is the correlation
        correlation = 2 + moments.cov / spread if spread > 0 else 2.0
        key = (moments.mean_s, moments.mean_o, moments.var_s, moments.var_o, correlation, held or 0.0, max_tokens)
        if self._made is not None and all(map(_is_close, key, self._made[0])):
            return self._made[1:]
        moments = self._unclustered(moments, max_tokens)
        laws = LengthLaws.of(self._shape.prompt, self._shape.output, max_tokens)
        s, o = synthesize(moments, laws)
        g = block_demand(s, o, *sizes)
        for _ in range(_MATCHING_ROUNDS):
            missing = 0.0 if held is None else held - float(g.mean())
            if moments.var_o <= 0 or abs(missing) < _CLOSE_RATIO * float(g.mean()):
                break
            moments = _moved(moments, missing)
            s, o = synthesize(moments, laws)
            g = block_demand(s, o, *sizes)
        self._made = (key, s, o, g)
        return s, o, g

    def _unclustered(self, moments: PairMoments, max_tokens: float) -> PairMoments:
        """Variances no larger than the histograms allow, and the covariance in proportion."""
        scales = []
        for variance, buckets in ((moments.var_s, self._shape.prompt), (moments.var_o, self._shape.output)):
            spread = bucket_variance(buckets, max_tokens)
            small = spread is None or variance <= _BUCKETS_COARSE * spread
            scales.append(1.0 if small or spread is None else _BUCKETS_COARSE * spread / variance)
        return replace(
            moments,
            var_s=moments.var_s * scales[0],
            var_o=moments.var_o * scales[1],
            cov=moments.cov * (scales[0] * scales[1]) ** 0.5,
        )


def _is_close(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= _MOVED_RATIO * abs(a)


def _moved(moments: PairMoments, missing: float) -> PairMoments:
    """Second moments with which E[g], that holds Cov(s, o) once and Var(o) half, changes by ``missing``.

    The covariance is the least sure and takes what it can; the variance of the outputs takes the rest.
    """
    most = _MOST_CORRELATED * (moments.var_s * moments.var_o) ** 0.5
    cov = min(max(moments.cov + missing, -most), most)
    rest = missing - (cov - moments.cov)
    return replace(moments, cov=cov, var_o=max(moments.var_o + 2 * rest, _LEAST_VARIANCE_RATIO * moments.var_o))
