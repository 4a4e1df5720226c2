"""A metric that others contradict, and which of several numbers is the one that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

CONTRADICTED_RATIO = 1.5
"""Factor between two numbers that must be the same from which they contradict each other [1]. Measured: recordings of
real servers and of six versions of vLLM, where they are within 1.3 once both rest on enough; faults are factors of two
and more."""
RESTORED_RATIO = 1.25
"""Factor within which a number is believed again [1]. Choice: clearly below the first, so that noise changes nothing.
"""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A field of the samples that is not believed, and those that it contradicts: fields, or ``field/_part`` of one."""

    field: str
    against: tuple[str, ...]


def apart(a: float, b: float, ratio: float) -> bool:
    """Whether two numbers that are not negative differ by at least a factor; one of them may be 0."""
    return max(a, b) > 0 and max(a, b) >= ratio * min(a, b)


def odd_ones(numbers: dict[str, float], ratio: float) -> set[str]:
    """Which of some numbers that must be equal contradict the others: those that no other confirms.

    Nothing where all agree; all where none agrees with any other.
    """
    found = set()
    for name, value in numbers.items():
        others = [other for other_name, other in numbers.items() if other_name != name]
        if others and all(apart(value, other, ratio) for other in others):
            found.add(name)
    return found


def held(
    before: Mapping[str, Contradiction], law: Callable[[float], Sequence[Contradiction]]
) -> dict[str, Contradiction]:
    """What a law contradicts now; what it did before must agree better to be believed again."""
    now = {c.field: c for c in law(CONTRADICTED_RATIO)}
    if not before:
        return now
    return {c.field: c for c in law(RESTORED_RATIO) if c.field in before} | now
