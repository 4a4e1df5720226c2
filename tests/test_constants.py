"""Every constant of the computing packages says what it is, in which unit, and where it comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.sensitivity.found import ROOT, bare_numbers, constants, module_of, sources

PROVENANCE = re.compile(r"(?:^|[.)] )(Definition(?:\.|: .)|(?:Data sheet|Measured|Choice): .)", re.DOTALL)
"""How the sentence begins that says where a constant comes from."""
UNIT = re.compile(r"(?<!\w)\[([^]]+)\]")
UNITS = {
    "1", "s", "unix s", "1/s", "rad", "sd", "bits", "digits", "characters",
    "tokens", "blocks", "requests", "steps", "replicas", "evictions", "answers", "tokens/request",
    "samples", "scrapes", "intervals", "rows", "runs", "rounds", "records", "lines", "groups", "keys",
    "bins", "points", "values", "lengths", "periods", "lifetimes", "targets", "engines", "cells", "pages", "names",
}  # fmt: skip
"""Of everything that is counted or measured, one spelling."""
FORMULAS = {
    "kvwatch.stats.trend": {"_score_variance"},
    "kvwatch.queueing.length_mix": {"bucket_variance"},
    "kvwatch.core.traffic.arrival_rate": {"count_interval"},
    "kvwatch.core.eviction.wave": {"holding_variation"},
}
"""Functions whose numbers are the coefficients of the formula that they are named for."""
NUMBERS_ARE_THE_SUBJECT = {"kvwatch.embedded.scenarios"}
"""Modules that describe workloads: their numbers are what they are about."""


def modules() -> list[Path]:
    """The modules whose constants count."""
    return list(sources())


def name_of(path: Path) -> str:
    """What a test case is called."""
    return module_of(path, ROOT)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_constant_stands_alone_with_its_unit_and_provenance(path: Path) -> None:
    """One to a line; below it what it is, its unit in brackets, and whether defined, looked up, measured or chosen."""
    faults = []
    for c in constants(path):
        where = f"{c.module}:{c.line} {c.name}"
        units = set(UNIT.findall(c.text))
        if c.names > 1:
            faults.append(f"{where} shares its line with others")
        if not PROVENANCE.search(" ".join(c.text.split())):
            faults.append(f"{where} does not say whether it is defined, looked up, measured or chosen")
        if c.plain and not units & UNITS:
            faults.append(f"{where} has no unit in brackets; [1] is that of a pure number")
        if units - UNITS:
            faults.append(f"{where} has an unknown unit: {', '.join(sorted(units - UNITS))}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_number_hides_in_an_expression(path: Path) -> None:
    """Nothing, one, two, a half, ten, indices and exponents may stand bare; all else has a name and a reason."""
    formulas = FORMULAS.get(module_of(path), set())
    if module_of(path) in NUMBERS_ARE_THE_SUBJECT:
        return
    faults = [
        f"{n.module}:{n.line} in {n.function or 'the module'}: {n.number}"
        for n in bare_numbers(path)
        if n.function not in formulas
    ]
    assert not faults, "\n".join(faults)


def test_no_constant_is_written_down_twice() -> None:
    """A name with a value stands in one module: what two of them need, the lower one has."""
    seen: dict[tuple[str, str], str] = {}
    twice = []
    for path in modules():
        for c in constants(path):
            key = (c.name.lstrip("_"), c.value)
            if key in seen:
                twice.append(f"{key[0]} = {key[1]} in {seen[key]} and {c.module}")
            seen[key] = c.module
    assert not twice, "\n".join(twice)
