"""Which faults are tried: drawn by hash, so that an edit changes the draw only where it is made; and some always."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.mutation.mutants import COMPARISON, CONDITION, CONSTANT, RETURN, STATEMENT, TERM, Mutant, mutants, value_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("kvwatch/core", "kvwatch/stats", "kvwatch/queueing")
SEED = 20261129
SAMPLE = 200
"""Faults drawn. With so many a kill rate of 0.85 is known to ±4 points (90%, binomial)."""
CHECKED = 20
"""Faults that CI tries, those of :data:`ALWAYS` among them."""
SHARES = {CONSTANT: 40, COMPARISON: 15, TERM: 20, CONDITION: 10, STATEMENT: 10, RETURN: 5}
"""Places of a hundred for each kind: constants first, since a wrong one misleads without a sign."""


@dataclass(frozen=True, slots=True)
class Always:
    """A fault that is tried whatever the draw: the value of ``name`` in ``scope`` becomes ``after``.

    ``name`` is ``return``, a local name, or empty where ``scope`` is itself a constant; ``{}`` stands for the value.
    """

    title: str
    scope: str
    name: str
    after: str


ALWAYS = (
    Always("what overloads have taught is not used", "Calibration.factor", "return", "1.0"),
    Always("no doubt about the law beyond what was seen", "CURVATURE_DEVIATION", "", "0.0"),
    Always("an observed rate is believed four times as much", "_observed_deviation", "return", "({}) / 4"),
    Always("lengths by the log forget the prefix cache", "joint_mix", "cached", "0.0"),
)
"""Faults that once survived all of the core's tests."""


def sources() -> Iterator[tuple[str, bytes]]:
    """Every module that may be mutated: its path below the root, and its text."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes()


def everything() -> list[Mutant]:
    """All faults of all modules."""
    return [mutant for path, source in sources() for mutant in mutants(path, source)]


def always() -> list[tuple[str, Mutant]]:
    """The faults of :data:`ALWAYS` with their titles. Raises LookupError for one whose place is not there any more."""
    modules = list(sources())
    found = []
    for wanted in ALWAYS:
        places = [m for path, source in modules for m in value_of(path, source, wanted.scope, wanted.name)]
        if not places:
            raise LookupError(f"{wanted.scope} {wanted.name} is gone: say in bench/mutation/sample.py where it is now")
        for place in places:
            text = wanted.after.replace("{}", place.text)
            found.append((wanted.title, replace(place, text=text, after=wanted.after)))
    return found


def drawn(known: Iterable[Mutant], count: int, seed: int = SEED) -> list[Mutant]:
    """``count`` faults at as many places, by kind in the shares above, in an order that is itself drawn.

    A shorter draw is the beginning of a longer one.
    """
    by_site: dict[str, list[Mutant]] = {}
    for mutant in known:
        by_site.setdefault(mutant.site, []).append(mutant)
    chosen = [min(alike, key=lambda m: _rank(m.name, seed)) for alike in by_site.values()]
    places = dict.fromkeys(SHARES, 0)
    ranked = []
    for mutant in sorted(chosen, key=lambda m: _rank(m.site, seed)):
        places[mutant.kind] += 1
        ranked.append((places[mutant.kind] / SHARES[mutant.kind], _rank(mutant.site, seed), mutant))
    return [mutant for _, _, mutant in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
