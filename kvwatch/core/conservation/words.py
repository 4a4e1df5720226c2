"""What is contradicted, in words for whoever looks after the server, with the names that its metrics have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.parse.exposition.vllm import PREFIX, VLLM


def sentences(found: Iterable[Contradiction]) -> Iterator[str]:
    """Which metrics cannot be right, and what to hold them against: one sentence for those that contradict the same."""
    by_others: dict[tuple[str, ...], list[str]] = {}
    for contradiction in found:
        by_others.setdefault(contradiction.against, []).append(_name(contradiction.field))
    for others, names in by_others.items():
        contradict, are, them = (
            ("contradicts", "it is", "it") if len(names) == 1 else ("contradict", "they are", "them")
        )
        against = _list([_name(field) for field in others])
        yield (
            f"{_list(names)} {contradict} {against}: {are} left out, and what rests on {them}. Compare them on the"
            " server's own /metrics; what rewrites metrics on the way (a relabelling, a collector, a proxy) is the"
            " usual cause."
        )


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _name(field: str) -> str:
    """A field's newest name in vLLM's metrics."""
    names = {row.field: row.samples[0].name for row in VLLM.rows}
    histogram, _, part = field.partition("/")
    return PREFIX + (VLLM.histograms[histogram] + part if histogram in VLLM.histograms else names[field])
