"""What a table of a server's metric names says: for each of our numbers the samples that hold it, newest name first.

The first name of which an exposition has a number is taken. Names are those of the samples, so counters end in
``_total`` and parts of histograms in ``_bucket``, ``_sum`` or ``_count``, in the classic format and in OpenMetrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal["gauge", "ratio", "counter"]
"""How several series of one number combine: see :mod:`kvwatch.parse.exposition.numbers`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One name for a field: the sample, and the label values it is for where a label tells fields apart.

    ``plus`` names a sample that holds another part of the number, which is added.
    """

    name: str
    label: str = ""
    values: tuple[str, ...] = ()
    plus: str = ""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of that name with these labels is meant."""
        return not self.label or labels.get(self.label) in self.values


@dataclass(frozen=True, slots=True)
class Row:
    """One number of :class:`~kvwatch.facts.EngineSample` and its names, newest first."""

    field: str
    kind: Kind
    samples: tuple[Sample, ...]
    may_be_negative: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """The names of one kind of server.

    Attributes:
        server: Its name, as words for people have it.
        stems: What its names begin with, after whatever else puts in front.
        model_labels: Labels that name the served model, the best one first.
        engine_labels: Labels that number the engines of one server.
        rows: Numbers.
        histograms: Histograms of which the buckets matter: our field, their name.
        awake: The sample that is 0 while the engine sleeps.
        cache_config: A gauge of 1 whose labels are the KV cache's settings.
        cache_rows: The KV cache's settings where they are gauges: fields of :class:`~kvwatch.facts.CacheConfig`.
        part_labels: Labels that split a family within one engine: its parts add up.
        rank_labels: Labels that number processes of one engine, each of which shows what all share: the lowest counts.
        total_labels: Labels whose empty value has the total, where the others have parts of it.
    """

    server: str
    stems: tuple[str, ...]
    model_labels: tuple[str, ...]
    engine_labels: tuple[str, ...]
    rows: tuple[Row, ...]
    histograms: Mapping[str, str]
    awake: Sample | None = None
    cache_config: str = ""
    cache_rows: tuple[Row, ...] = ()
    part_labels: frozenset[str] = frozenset()
    rank_labels: tuple[str, ...] = ()
    total_labels: tuple[str, ...] = field(default=())

    @cached_property
    def created(self) -> frozenset[str]:
        """When each counter was made; neither Ray nor several API servers show it."""
        return frozenset(bare(name) + "_created" for name in self._wanted() if name.endswith("_total"))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that is read, without what stands in front of it."""
        return frozenset(self._wanted()) | self.created

    @cached_property
    def gauges(self) -> frozenset[str]:
        """Names that an engine shows at every moment of its life."""
        wanted = ("running", "waiting", "kv_usage_ratio")
        return frozenset(sample.name for row in self.rows if row.field in wanted for sample in row.samples)

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Names that each engine has, if its server shows them at all: a label that tells engines apart is on all."""
        wanted = ("finished", "prompt_tokens", "generation_tokens", "steps")
        counters = (sample.name for row in self.rows if row.field in wanted for sample in row.samples)
        return self.gauges | frozenset(counters)

    def _wanted(self) -> Iterator[str]:
        for row in (*self.rows, *self.cache_rows):
            yield from (sample.name for sample in row.samples)
        for base in self.histograms.values():
            yield from (base + part for part in ("_bucket", "_sum", "_count"))
        if self.awake is not None:
            yield self.awake.name
        if self.cache_config:
            yield self.cache_config


def gauge(name: str, *samples: str | Sample) -> Row:
    """A number of requests or tokens that are there now."""
    return Row(name, "gauge", _samples(samples))


def ratio(name: str, *samples: str | Sample) -> Row:
    """A share, which does not add up. Whether it is one is for the core to judge, which names a gauge that is not."""
    return Row(name, "ratio", _samples(samples), may_be_negative=True)


def counter(name: str, *samples: str | Sample) -> Row:
    """A counter; Ray's agent has shown counters as gauges, without the suffix, so that name comes last."""
    spelled = _samples(samples)
    short = tuple(Sample(bare(s.name), s.label, s.values) for s in spelled if s.name.endswith("_total"))
    return Row(name, "counter", spelled + short)


def seconds(name: str, *samples: str) -> Row:
    """A sum of durations. vLLM may add a negative one for a request that it aborts before it was scheduled."""
    return Row(name, "counter", _samples(samples), may_be_negative=True)


def bare(name: str) -> str:
    """A counter's name as its family is called."""
    return name.removesuffix("_total")


def _samples(samples: tuple[str | Sample, ...]) -> tuple[Sample, ...]:
    return tuple(sample if isinstance(sample, Sample) else Sample(sample) for sample in samples)
