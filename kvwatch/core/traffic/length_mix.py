"""The traffic's mix of lengths by the metrics alone, over as long as it has not changed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.length_shape import LengthShape
from kvwatch.core.traffic.lengths import LengthWindow
from kvwatch.core.traffic.matched_lengths import Buckets, matched_lengths, plausible_lengths
from kvwatch.core.traffic.mix import Mix, held_unshared, sharing_ratio
from kvwatch.core.traffic.request_demand import DemandEstimates, estimate
from kvwatch.core.units import in_units
from kvwatch.queueing.demand import mean_computed, mean_demand, mean_steps
from kvwatch.queueing.finish_bias import InFlight, arrived_moments, arrived_weights, occupancy_ratio
from kvwatch.stats.change import ChangeDetector, change_point

_GROWN_RATIO = 0.005
"""Growth of the requests in flight over those finished that is not worth a correction [1]. Choice: it moves E[g] by
less than it."""
_REMEMBERED_INTERVALS = 400
"""Intervals with finished requests among which the place of a change is sought [intervals]. Choice: ADWIN sees a change
of the mean within tens of them."""
MIX_REQUESTS = 1000
"""Requests after which the mix reaches back no further [requests]. Choice: a mean of g is then known to about 3%; more
would only make it slower."""


class LengthMix:
    """Watches the lengths; forgets what came before a change of the mix."""

    def __init__(self, window_seconds: float) -> None:
        self._window = LengthWindow(window_seconds, min_requests=MIX_REQUESTS)
        self._shape = LengthShape()
        self._running = 0.0
        self._watch = (ChangeDetector(), ChangeDetector())
        self._means: deque[tuple[float, float, float]] = deque(maxlen=_REMEMBERED_INTERVALS)
        self._unit_tokens = 1.0
        self.cut_at = float("-inf")
        """When the mix last changed [unix s]."""

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        self._unit_tokens = interval.unit_tokens
        units = in_units(interval)
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

    def mix(self, block_tokens: int, chunk_tokens: int, max_tokens: float | None) -> Mix | None:
        """The mix by the metrics alone; ``None`` before second moments are known."""
        sizes, longest = (block_tokens, chunk_tokens), max_tokens or inf
        demand = self._of_arrived(self.demand(*sizes), sizes, longest)
        if demand.moments is None or demand.steps is None:
            return None
        sharing = sharing_ratio(demand)
        held = held_unshared(demand, sharing)
        s, o, g = matched_lengths(demand.moments, self.buckets, held, sizes, longest)
        spread = float(g.std()) / float(g.mean())
        # the variance is itself estimated from few groups: as many degrees of freedom short
        deviation = spread / demand.requests**0.5 * (1 + 2 / demand.moments.groups**0.5)
        prefix = (demand.cached_ratio or 0.0) * demand.moments.mean_s * sharing
        prefix_tokens = round(prefix / block_tokens) * block_tokens
        return Mix(demand, s, o, prefix_tokens, held if held is not None else float(g.mean()), deviation, sharing)

    @property
    def buckets(self) -> Buckets:
        """How the histograms of prompts and outputs fill, where they are known."""
        return self._shape.prompt, self._shape.output

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
        s, o = plausible_lengths(m, self.buckets, max_tokens)
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
            compute_tokens=mean_computed(moments, demand.cached_ratio),
        )
