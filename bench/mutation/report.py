"""The results as a page, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.mutation.mutants import Mutant
from bench.mutation.sample import PACKAGES, SHARES
from bench.mutation.trial import SURVIVED, Verdict

LEAST_DEAD_RATIO = 0.85
"""Share of the faults that the tests must find."""
_INTRO = """\
# Mutation testing

Written by `python -m bench.mutation`; what a mutant is and how it is tried is in `bench/mutation/__init__.py`.
Small faults in what kvwatch computes, drawn by hash from all that can be made; each is tried against the fast tests
that execute its line. A fault is dead if a test fails of it, or if the tests no longer load or end. What is known to
survive, and has a reason below, counts as a survivor without being tried again.
"""


def as_rows(titled: Iterable[tuple[str, Mutant]], verdicts: Mapping[str, Verdict], commit: str) -> list[dict[str, Any]]:
    """One row a fault, for machines, tried at ``commit``; those that are always tried have a title."""
    return [
        {
            "mutant": m.name,
            "always": title,
            "package": next(p for p in PACKAGES if m.path.startswith(p)),
            "kind": m.kind,
            "outcome": verdicts[m.name].outcome,
            "by": verdicts[m.name].by,
            "cut": verdicts[m.name].cut,
            "commit": commit,
        }
        for title, m in titled
    ]


def still_stands(row: Mapping[str, Any], root: Path) -> bool:
    """Whether a fault was found, and what found it is still there: a test of that name, or the lack of an end."""
    if row["outcome"] == SURVIVED or not row["by"]:
        return bool(row["outcome"] != SURVIVED)
    file, _, name = row["by"].partition("::")
    path, function = root / file, name.partition("[")[0]
    return path.exists() and (not function or f"def {function}(" in path.read_text(encoding="utf-8"))


def dead_ratio(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of the faults that were found; 0 of none."""
    return sum(row["outcome"] != SURVIVED for row in rows) / max(len(rows), 1)


def page(
    made: Mapping[str, str], rows: Sequence[Mapping[str, Any]], accepted: Mapping[str, str], most_seconds: float | None
) -> str:
    """The whole page, from the rows that are in the JSON; ``most_seconds`` is the CPU that each was given."""
    drawn, named = [r for r in rows if not r["always"]], [r for r in rows if r["always"]]
    parts = [
        _INTRO,
        f"Made on {made['date']} at commit {made['commit']}. What was found at an earlier commit was not tried again: "
        f"`mutation.json` has the commit of each ({len({r['commit'] for r in rows})} of them).\n",
        f"**{dead_ratio(drawn):.0%} of {len(drawn)} drawn faults are found** ({LEAST_DEAD_RATIO:.0%} are asked for).\n",
        *_bound(rows, most_seconds),
        _table("package", {p: [r for r in drawn if r["package"] == p] for p in PACKAGES}),
        _table("kind", {k: [r for r in drawn if r["kind"] == k] for k in SHARES}),
        "## Faults that are always tried\n",
        "\n".join(f"- {r['always']}: {_found_by(r)}." for r in named) + "\n",
        "## Survivors\n",
        "\n".join(_survivor(r, accepted) for r in rows if r["outcome"] == SURVIVED) + "\n",
    ]
    return "\n".join(parts)


def _bound(rows: Sequence[Mapping[str, Any]], most_seconds: float | None) -> list[str]:
    if most_seconds is None:
        return []
    cut = sum(bool(r.get("cut")) for r in rows)
    left = (
        f" {cut} were not found within it and count as survivors, although a later test may find them." if cut else ""
    )
    return [
        f"Each was given {most_seconds:g} s of CPU at least, the nearest tests first; what is not found "
        f"within it survives.{left}\n"
    ]


def _found_by(row: Mapping[str, Any]) -> str:
    return "**survives**" if row["outcome"] == SURVIVED else f"found by `{row['by']}`"


def _survivor(row: Mapping[str, Any], accepted: Mapping[str, str]) -> str:
    return f"- `{row['mutant']}`: {accepted.get(row['mutant'], '**no reason given**')}"


def _table(title: str, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = [f"| {title} | faults | found | hung or broken |", "| --- | --- | --- | --- |"]
    for name, rows in groups.items():
        if rows:
            odd = sum(r["outcome"] in {"hung", "broken"} for r in rows)
            lines.append(f"| {name} | {len(rows)} | {dead_ratio(rows):.0%} | {odd} |")
    return "\n".join(lines) + "\n"
