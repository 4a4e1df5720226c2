"""The requests of a log that stand for the traffic: exact means, and equally likely ones with exact lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.constants import TINY
from kvwatch.core.traffic.request_slices import Slice
from kvwatch.queueing.demand import block_demand
from kvwatch.stats.group_moments import PairMoments

Array = npt.NDArray[np.float64]

POOL_SIZE = 256
"""Equally likely requests that stand for all [requests]. Choice: a mean of g is then known to about 6% of its spread;
they are drawn with weights from a thousand."""
_LEAST_SEEN = 0.1
"""Least probability of having ended by now that a request is weighed with [1]. Choice: requests as long as nearly all
the time since the engine was empty count at most tenfold; one of them must not outweigh all others."""


@dataclass(frozen=True, slots=True)
class JointSample:
    """Requests of a log: how many, their means, and ``pool`` equally likely ones that stand for them.

    ``demand`` is E[g] [token·steps], ``prompt_tokens`` and ``output_tokens`` the pool's lengths.
    """

    requests: float
    demand: float
    moments: PairMoments
    chunks: float
    prompt_tokens: Array
    output_tokens: Array


def joint_sample(
    chosen: list[tuple[float, Slice]], count: int, sizes: tuple[int, int], now: float, empty_at: float | None
) -> JointSample:
    """The sample of some slices, each with the time at which it begins; see :meth:`RequestWindow.sample`."""
    table = np.array([pair for _, place in chosen for pair in place.kept], dtype=float)
    kept = [len(place.kept) for _, place in chosen]
    plain = np.repeat([place.count / n for (_, place), n in zip(chosen, kept, strict=True)], kept) / count
    s, o, seconds = table[:, 1], table[:, 2], table[:, 3]
    weight = plain
    if empty_at is not None:
        seen = np.maximum(1 - seconds / max(now - empty_at, TINY), _LEAST_SEEN)
        # what came before the engine ran empty has all ended
        after = np.repeat([start >= empty_at for start, _ in chosen], kept)
        weight = np.where(after, plain / seen, plain)
        weight = weight / weight.sum()
    g = block_demand(s, o, *sizes)

    def mean(exact: float, values: Array) -> float:
        # the sums hold all requests, the sample says by how much the weights move them
        sampled = float(plain @ values)
        return exact / count * float(weight @ values) / sampled if sampled > 0 else 0.0

    demand = mean(sum(p.demand for _, p in chosen), g)
    mean_s = mean(sum(p.prompt for _, p in chosen), s)
    mean_o = mean(sum(p.output for _, p in chosen), o)
    ds, do = s - float(weight @ s), o - float(weight @ o)
    order = np.argsort(g, kind="stable")
    ranks = np.searchsorted(np.cumsum(weight[order]), (np.arange(POOL_SIZE) + 0.5) / POOL_SIZE)
    picked = order[np.minimum(ranks, len(order) - 1)]
    moments = PairMoments(
        requests=float(count),
        groups=len(s),
        mean_s=mean_s,
        mean_o=mean_o,
        var_s=float(weight @ ds**2),
        var_o=float(weight @ do**2),
        cov=float(weight @ (ds * do)),
    )
    return JointSample(
        # unequal weights say as much as fewer requests would
        requests=count * float((plain**2).sum() / (weight**2).sum()),
        demand=demand,
        moments=moments,
        chunks=float(weight @ np.ceil(s / sizes[1])),
        prompt_tokens=s[picked],
        output_tokens=o[picked],
    )
