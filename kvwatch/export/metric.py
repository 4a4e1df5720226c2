"""What is said of one exported metric."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported metric.

    ``extra_labels`` come after those of the scope; ``values`` lists the closed set of values of the first
    extra label, empty where it is open (a window, a version). ``estimate`` names the entry of
    ``kvwatch_estimate_valid`` that tells whether the number may be believed.
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

    @property
    def labels(self) -> tuple[str, ...]:
        """All label names, in the order in which they are exported."""
        return SCOPE_LABELS[self.scope] + self.extra_labels

    @property
    def field(self) -> str:
        """The name without the prefix: the view's field and the JSON key."""
        return self.name.removeprefix(PREFIX)
