"""What is contradicted, in words for whoever looks after the server, with the names that its metrics have."""

from __future__ import annotations

from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.parse.exposition.vllm import PREFIX, VLLM


def sentence(contradiction: Contradiction) -> str:
    """Which metric cannot be right, and what to hold it against."""
    against = " and ".join(_name(field) for field in contradiction.against)
    return (
        f"{_name(contradiction.field)} contradicts {against}: it is left out, and what rests on it. Compare them on the"
        " server's own /metrics; what rewrites metrics on the way (a relabelling, a collector, a proxy) is the usual"
        " cause."
    )


def _name(field: str) -> str:
    """A field's newest name in vLLM's metrics."""
    names = {row.field: row.samples[0].name for row in VLLM.rows}
    histogram, _, part = field.partition("/")
    return PREFIX + (VLLM.histograms[histogram] + part if histogram in VLLM.histograms else names[field])
