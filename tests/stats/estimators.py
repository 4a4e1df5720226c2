"""Every streaming estimator of the package, found by looking, and how to feed it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import kvwatch.stats
from tests.reflection import Feed, arguments, classes_with

_START = 1_700_000_000.0
FEEDS: Mapping[str, Feed] = {
    # constructors
    "horizon_seconds": lambda _, __: 600.0,
    "period_seconds": lambda _, __: 60.0,
    "capacity": lambda _, __: 8,
    "size": lambda _, __: 3,
    # observations
    "at": lambda _, n: _START + n,
    "value": lambda source, n: n + source.random(),
    "key": lambda source, _: f"tenant {source.randrange(5000)}",
    "values": lambda source, _: (source.expovariate(1), 1.0, source.random()),
    "composition": lambda source, _: (source.uniform(0, 300), source.choice([0.0, 900.0]), 1e5 * source.random(), 0.5),
    "seconds": lambda source, _: source.uniform(0.01, 0.1),
    # questions
    "now": lambda _, n: _START + n,
    "start": lambda _, n: _START + n - 30,
    "end": lambda _, n: _START + n,
    "window_seconds": lambda _, __: 60.0,
    "bins": lambda _, __: 5,
    "full_load": lambda _, __: (128.0, 256.0, 1e5),
}
"""What parameters are fed with. A name that is not here, and has no default, fails the tests: add it."""

TAKERS = {c: name for name in ("update", "add") for c in classes_with(kvwatch.stats, name)}
"""Every estimator, and the method by which it learns."""
KEPT = [c for c in TAKERS if hasattr(c, "dump")]


def made(estimator: type, calls: int = 0, seed: int = 0) -> Any:
    """A new one that has been fed so often."""
    new = estimator(**arguments(estimator, {k: f for k, f in FEEDS.items() if k != "bins"}, random.Random(0), 0))
    fed(new, range(calls), seed)
    return new


def fed(estimator: Any, calls: range, seed: int) -> None:
    """Feed it, the calls being numbered."""
    take, source = getattr(estimator, TAKERS[type(estimator)]), random.Random(seed)
    for number in calls:
        take(**arguments(take, FEEDS, source, number))
