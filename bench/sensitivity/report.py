"""The results as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_VALUE = 40
"""Characters of a value that are shown."""
MOST_FIELDS = 4
"""Metrics beside μ and ρ that are named in a line; of more the number is."""


def text(data: Mapping[str, Any]) -> str:
    """The page."""
    rows, made = data["constants"], data["made"]
    tried = [row for row in rows if row["variants"]]
    moving = [row for row in tried if any(_moves(v) for v in row["variants"].values())]
    lines = [
        "# What the constants are worth",
        "",
        f"Each halved and doubled by `python -m bench.sensitivity`, on {made['date']} at commit {made['commit']}.",
        *_earlier(rows, made["commit"]),
        "Errors are those of μ from half load on; coverage is that of all 90% intervals; a false page is a ρ",
        "whose lower end is above 0.8 at half load or less.",
    ]
    for group, usual in data["usual"].items():
        lines += ["", f"## {group.capitalize()}: those that move μ or its interval", "", _usual(usual), "", *_head()]
        here = [row for row in moving if any(_rate_moves(v.get(group, v)) for v in row["variants"].values())]
        for row in sorted(here, key=lambda row: -max(_size(v.get(group, v)) for v in row["variants"].values())):
            lines += [_table_line(row, factor, v.get(group, v)) for factor, v in row["variants"].items()]
    others = [row for row in moving if not any(_rate_moves(v) for w in row["variants"].values() for v in _parts(w))]
    lines += ["", "## Those that move other metrics only", "", *_names(others, with_fields=True)]
    lines += ["", "## Read, but nothing moves", "", *_names([row for row in tried if row not in moving])]
    untried = [row for row in rows if row["touched"] and not row["defined"] and not row["variants"]]
    if untried:
        lines += ["", "## Read, but not tried yet", "", *_names(untried)]
    unread = [row for row in rows if not row["touched"] and not row["defined"]]
    lines += ["", "## Not read in these cases", "", *_names(unread)]
    return "\n".join(lines) + "\n"


def _earlier(rows: list[Mapping[str, Any]], commit: str) -> list[str]:
    """What is older than the rest."""
    others = sorted({row["commit"] for row in rows if row["variants"]} - {commit})
    return [f"Some rows are of earlier commits: {', '.join(others)}."] if others else []


def line(row: Mapping[str, Any]) -> str:
    """A constant in a line, to be seen while it runs."""
    if not row["variants"]:
        return f"{_name(row)}: {'defined' if row['defined'] else 'not read'}"
    parts = [f"×{factor} {' and '.join(map(_brief, _parts(v)))}" for factor, v in row["variants"].items()]
    return f"{_name(row)} = {row['value']}: {'; '.join(parts)}"


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['module'].removeprefix('kvwatch.')}.{row['name']}"


def _value(row: Mapping[str, Any]) -> str:
    """As it is written, cut where it is long."""
    return row["value"] if len(row["value"]) <= LONGEST_VALUE else f"{row['value'][:LONGEST_VALUE]}…"


def _parts(variant: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A variant's results by group; of one that fails, itself."""
    return [variant] if "fails" in variant else list(variant.values())


def _brief(part: Mapping[str, Any]) -> str:
    if "fails" in part:
        return str(part["fails"])
    return f"μ {part['rate_ratio']:.1%}, interval {part['interval_ratio']:.1%}, {len(part['fields'])} metrics"


def _moves(variant: Mapping[str, Any]) -> bool:
    return any("fails" in part or part["fields"] for part in _parts(variant))


def _rate_moves(part: Mapping[str, Any]) -> bool:
    return "fails" in part or part["rate_ratio"] > 0 or part["interval_ratio"] > 0


def _size(part: Mapping[str, Any]) -> float:
    return float("inf") if "fails" in part else float(part["rate_ratio"] + part["interval_ratio"] / 10)


def _usual(usual: Mapping[str, Any]) -> str:
    return (
        f"As it is: median error {usual['median_error']:.1%}, worst {usual['worst_error']:.1%}, coverage "
        f"{usual['covered_ratio']:.0%}, {usual['false_pages']} false pages, μ absent {usual['absent']} times."
    )


def _head() -> list[str]:
    columns: tuple[str, ...] = (
        "constant",
        "value",
        "factor",
        "μ moves by",
        "interval by",
        "median error",
        "worst",
        "coverage",
    )
    columns += ("false pages", "absent")
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]


def _table_line(row: Mapping[str, Any], factor: str, part: Mapping[str, Any]) -> str:
    cells = [_name(row), _value(row), factor]
    if "fails" in part:
        cells += [part["fails"], *[""] * 6]
    else:
        numbers = ("rate_ratio", "interval_ratio", "median_error", "worst_error")
        cells += [f"{part[number]:.1%}" for number in numbers]
        cells += [f"{part['covered_ratio']:.0%}", str(part["false_pages"]), str(part["absent"])]
    return f"| {' | '.join(cells)} |"


def _names(rows: list[Mapping[str, Any]], *, with_fields: bool = False) -> list[str]:
    lines = []
    for row in rows:
        fields = {f for v in row["variants"].values() for part in _parts(v) for f in part.get("fields", ())}
        shown = ", ".join(sorted(fields)[:MOST_FIELDS])
        more = f" and {len(fields) - MOST_FIELDS} more" if len(fields) > MOST_FIELDS else ""
        lines.append(f"- {_name(row)} = {_value(row)}" + (f": {shown}{more}" if with_fields else ""))
    return lines or ["None."]
