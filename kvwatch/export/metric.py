"""What is said of one exported metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from kvwatch.estimate import PAIRED

PREFIX = "kvwatch_"


class Scope(StrEnum):
    """What one series of a metric is about, which decides its labels."""

    ENGINE = "engine"
    MODEL = "model"
    TARGET = "target"
    PROCESS = "process"


SCOPE_LABELS: dict[Scope, tuple[str, ...]] = {
    Scope.ENGINE: ("target", "model_name", "engine"),
    Scope.MODEL: ("model_name", "role"),
    Scope.TARGET: ("target",),
    Scope.PROCESS: (),
}


class Kind(StrEnum):
    """The Prometheus type of a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"
    SUMMARY = "summary"
    """Quantiles, in the label of that name."""


class Part(StrEnum):
    """Which number of an estimate a metric shows: a member's value is the name of its field."""

    VALUE = "value"
    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Interval:
    """The 90% interval of a metric, which has a row for each of its ends.

    ``of`` is what it is an interval of, in words; ``lower_above_0`` what it means that the lower end is above 0;
    ``ends`` those that are exported.
    """

    of: str
    lower_above_0: str = ""
    ends: tuple[Part, ...] = (Part.LOWER, Part.UPPER)


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported metric.

    ``extra_labels`` come after those of the scope; ``values`` lists the closed set of values of the first
    extra label, empty where it is open (a window, a version). ``estimate`` names the entry of
    ``kvwatch_estimate_valid`` that tells whether the number may be believed. ``interval`` is the metric's own, from
    which :meth:`bounds` makes rows; ``part`` says which number of the estimate this row shows. Of a metric that is
    ``one_hot`` only the value that is chosen has a series.
    """

    name: str
    scope: Scope
    unit: str
    help: str
    kind: Kind = Kind.GAUGE
    extra_labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    estimate: str | None = None
    since: str = "0.1.0"
    interval: Interval | None = None
    part: Part = Part.VALUE
    one_hot: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """All label names, in the order in which they are exported."""
        return SCOPE_LABELS[self.scope] + self.extra_labels

    def values_of(self, key: str) -> tuple[str, ...]:
        """The values of the extra labels that a key of the view's numbers stands for, in their order."""
        return tuple(key.split(PAIRED, len(self.extra_labels) - 1))

    @property
    def key(self) -> str:
        """The name without the prefix: the key in JSON."""
        return self.name.removeprefix(PREFIX)

    @property
    def field(self) -> str:
        """The field of the view that holds it."""
        return self.key if self.part is Part.VALUE else self.key.removesuffix(f"_{self.part}")

    def bounds(self) -> tuple[Metric, ...]:
        """A row for each end of the interval."""
        return tuple(self._bound(self.interval, end) for end in self.interval.ends) if self.interval is not None else ()

    def _bound(self, interval: Interval, end: Part) -> Metric:
        adds = f"; above 0 {interval.lower_above_0}" if end is Part.LOWER and interval.lower_above_0 else ""
        words = f"{end.capitalize()} end of the 90% interval of {interval.of}{adds}."
        return replace(self, name=f"{self.name}_{end}", help=words, interval=None, part=end)


def with_bounds(*metrics: Metric) -> tuple[Metric, ...]:
    """The metrics, each followed by the ends of its interval."""
    return tuple(row for metric in metrics for row in (metric, *metric.bounds()))
