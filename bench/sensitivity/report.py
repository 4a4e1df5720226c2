"""The results as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from bench.sensitivity.found import constants, sources

LONGEST_VALUE = 40
"""Characters of a value that are shown."""
MOST_FIELDS = 4
"""Metrics beside μ and ρ that are named in a line; of more the number is."""

_STAY = (
    "Neither half nor twice of them changes a number of these cases. What does so in no case at all is deleted with "
    "its code; these matter in others, as said above each group."
)
KEPT = Path(__file__).parent / "kept.yaml"


def kept() -> dict[str, list[str]]:
    """Why constants stay that move nothing: reasons, each with the patterns of the names that it is for."""
    found: dict[str, list[str]] = yaml.safe_load(KEPT.read_text(encoding="utf-8"))
    return found


def reason(name: str, reasons: Mapping[str, Sequence[str]]) -> str | None:
    """The first reason that fits a name."""
    fits = (why for why, patterns in reasons.items() if any(fnmatchcase(name, pattern) for pattern in patterns))
    return next(fits, None)


def without_effect(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Constants that are still in the code and moved nothing, or are not read in these cases."""
    return [row for row in standing(rows) if not row["defined"] and (not row["touched"] or _is_still(row))]


def standing(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Constants that are still in the code."""
    known = {(c.module, c.name) for path in sources() for c in constants(path)}
    return [row for row in rows if (row["module"], row["name"]) in known]


def _is_still(row: Mapping[str, Any]) -> bool:
    return bool(row["variants"]) and not any(_moves(v) for v in row["variants"].values())


def text(data: Mapping[str, Any]) -> str:
    """The page."""
    rows, made = standing(data["constants"]), data["made"]
    tried = [row for row in rows if row["variants"]]
    moving = [row for row in tried if any(_moves(v) for v in row["variants"].values())]
    lines = [
        "# What the constants are worth",
        "",
        f"Each halved and doubled by `python -m bench.sensitivity`, on {made['date']} at commit {made['commit']}.",
        *_earlier(rows, made["commit"]),
        "Errors are those of μ from half load on; coverage is that of all 90% intervals; a false page is a ρ",
        "whose lower end is above 0.8 at half load or less. Constants that came later are not here.",
    ]
    for group, usual in data["usual"].items():
        lines += ["", f"## {group.capitalize()}: those that move μ or its interval", "", _usual(usual), "", *_head()]
        here = [row for row in moving if any(_rate_moves(v.get(group, v)) for v in row["variants"].values())]
        for row in sorted(here, key=lambda row: -max(_size(v.get(group, v)) for v in row["variants"].values())):
            lines += [_table_line(row, factor, v.get(group, v)) for factor, v in row["variants"].items()]
    others = [row for row in moving if not any(_rate_moves(v) for w in row["variants"].values() for v in _parts(w))]
    lines += ["", "## Those that move other metrics only", "", *_names(others, with_fields=True)]
    untried = [row for row in rows if row["touched"] and not row["defined"] and not row["variants"]]
    if untried:
        lines += ["", "## Read, but not tried yet", "", *_names(untried)]
    lines += ["", "## Those that move nothing here, and why they stay", "", _STAY]
    still = without_effect(rows)
    reasons = kept()
    for why in [*reasons, None]:
        here = [row for row in still if reason(_name(row), reasons) == why]
        if here:
            lines += ["", why or "**No reason is given.**", "", *_names(here, with_read=True)]
    return "\n".join(lines) + "\n"


def _earlier(rows: Sequence[Mapping[str, Any]], commit: str) -> list[str]:
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


def _names(rows: Sequence[Mapping[str, Any]], *, with_fields: bool = False, with_read: bool = False) -> list[str]:
    lines = []
    for row in rows:
        fields = {f for v in row["variants"].values() for part in _parts(v) for f in part.get("fields", ())}
        shown = ", ".join(sorted(fields)[:MOST_FIELDS])
        more = f" and {len(fields) - MOST_FIELDS} more" if len(fields) > MOST_FIELDS else ""
        unread = " (not read)" if with_read and not row["touched"] else ""
        lines.append(f"- {_name(row)} = {_value(row)}{unread}" + (f": {shown}{more}" if with_fields else ""))
    return lines or ["None."]
