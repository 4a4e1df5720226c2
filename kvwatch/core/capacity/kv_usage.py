"""Is the share of KV memory that the server shows a share? Below 0 or above 1 it is not, and its other values neither.

vLLM has shown -0.39 on some devices, and percent are easily taken for ratios by whatever rewrites metrics. A value
within the range does not make such a gauge right: an offset, or percent at a light load, is within it half of the time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from kvwatch.constants import HOUR_SECONDS, TINY
from kvwatch.facts import EngineSample

_PROOFS = 3
"""Values out of range from which on the gauge is not believed [scrapes]. Choice: one may be a torn or damaged line."""


class KvUsage:
    """Remembers when the gauge of an engine was last out of its range."""

    def __init__(self) -> None:
        self._out_at: deque[float] = deque(maxlen=_PROOFS)

    def update(self, at: float, sample: EngineSample) -> EngineSample:
        """The sample, without the gauge where it is out of range, or was so again and again within the hour."""
        shown = sample.kv_usage_ratio
        if shown is None:
            return sample
        if not -TINY <= shown <= 1 + TINY:
            self._out_at.append(at)
            return replace(sample, kv_usage_ratio=None)
        return replace(sample, kv_usage_ratio=None) if self.out_of_range(at) else sample

    def begin_anew(self) -> None:
        """Another process may show it right."""
        self._out_at.clear()

    def out_of_range(self, now: float) -> bool:
        """Whether the gauge is not to be believed."""
        return len(self._out_at) == _PROOFS and now - self._out_at[0] <= HOUR_SECONDS
