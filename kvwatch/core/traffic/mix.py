"""The traffic's mix of lengths: what the engine at full load would be fed, and what of it requests share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.embedded.settings import RequestShape

Array = npt.NDArray[np.float64]

_TELLING_RATIO = 0.05
"""Share of E[g] that sharing would save, below which it cannot be distinguished from noise [1]. Choice: both sides of
the comparison are known to some per cent; a prefix in the cache is then taken to be shared."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The traffic as the model takes it.

    ``demand`` are the estimates over the stationary window, ``prompt_tokens`` and ``output_tokens`` the lengths of
    equally likely requests with these moments, ``prefix_tokens`` the prompt's part that all share. ``held`` is
    their mean g [token·steps] if nothing were shared, ``deviation``
    the relative standard deviation of E[g] that comes from having seen few requests, ``sharing`` the part
    of the prefix-cache hits whose memory was held by another request at the time.
    """

    demand: DemandEstimates
    prompt_tokens: Array
    output_tokens: Array
    prefix_tokens: int
    held: float
    deviation: float
    sharing: float

    def grown_lengths(self) -> tuple[Array, Array]:
        """(s, o) as they grow: a prefix that all share is held once and grows with nobody."""
        return np.maximum(self.prompt_tokens - self.prefix_tokens, 1.0), self.output_tokens

    def pool(self) -> list[RequestShape]:
        """The requests, as the embedded engine takes them."""
        pairs = zip(self.prompt_tokens.tolist(), self.output_tokens.tolist(), strict=True)
        return [RequestShape(int(s), int(o), shared_prefix_tokens=min(self.prefix_tokens, int(s))) for s, o in pairs]


def sharing_ratio(demand: DemandEstimates) -> float:
    """How much of the cached prompt tokens other running requests held at the time: 1 all, 0 none.

    A system prompt that every request begins with is held once by all that run; a conversation's own history is
    found in the cache too, but held by nobody else. Occupancy shows which it is.
    """
    lengths, occupancy = demand.by_method.get("moments"), demand.by_method.get("occupancy")
    if not demand.cached_ratio or demand.moments is None or demand.steps is None or not lengths or not occupancy:
        return 1.0 if demand.cached_ratio else 0.0
    # what all share is held once by all that run, so a request that runs alone saves nothing
    together = max(demand.decoding or 1.0, 1.0)
    saved_if_shared = demand.cached_ratio * demand.moments.mean_s * demand.steps * (1 - 1 / together)
    if saved_if_shared < _TELLING_RATIO * lengths:
        return 1.0
    return min(max((lengths - occupancy) / saved_if_shared, 0.0), 1.0)


def held_unshared(demand: DemandEstimates, sharing: float) -> float | None:
    """What a mean request would hold if it shared nothing, from what is held: E[g] by occupancy, and what it saved."""
    occupancy = demand.by_method.get("occupancy")
    if occupancy is None or demand.moments is None or demand.steps is None:
        return None
    together = max(demand.decoding or 1.0, 1.0)
    prefix = sharing * (demand.cached_ratio or 0.0) * demand.moments.mean_s
    return occupancy + prefix * demand.steps * (1 - 1 / together)
