"""The results as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "| constant | value | factor | μ moves by | interval by | median error | worst | covered "
    "| false pages | others that move |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
MOST_FIELDS = 4


def text(data: Mapping[str, Any]) -> str:
    """The page."""
    usual, rows = data["usual"], data["constants"]
    moving = [row for row in rows if any(_moves(v) for v in row["variants"].values())]
    still = [row for row in rows if row["touched"] and row["variants"] and row not in moving]
    unread = [row for row in rows if not row["touched"] and not row["defined"]]
    lines = [
        "# What the constants are worth",
        "",
        f"Each halved and doubled, on {data['date']} at commit {data['commit']}.",
        f"As it is: median error {usual['median_error']:.1%}, worst {usual['worst_error']:.1%} from half load on, "
        f"{usual['covered_ratio']:.0%} of the 90% intervals hold the truth, {usual['false_pages']} false pages.",
        "",
        "## Those that move something, most first",
        "",
        *HEAD,
    ]
    for row in sorted(moving, key=lambda row: -max(_size(v) for v in row["variants"].values())):
        lines += [_table_line(row, factor, variant) for factor, variant in row["variants"].items()]
    lines += ["", "## Read, but nothing moves", "", *_names(still)]
    lines += ["", "## Not read in these cases", "", *_names(unread)]
    return "\n".join(lines) + "\n"


def line(row: Mapping[str, Any]) -> str:
    """A constant in a line, to be seen while it runs."""
    if not row["variants"]:
        return f"{row['module']}.{row['name']}: {'defined' if row['defined'] else 'not read'}"
    parts = [f"×{factor} {_brief(variant)}" for factor, variant in row["variants"].items()]
    return f"{row['module']}.{row['name']} = {row['value']}: {'; '.join(parts)}"


def _brief(variant: Mapping[str, Any]) -> str:
    if "fails" in variant:
        return str(variant["fails"])
    return f"μ {variant['rate_ratio']:.1%}, interval {variant['interval_ratio']:.1%}, {len(variant['fields'])} fields"


def _moves(variant: Mapping[str, Any]) -> bool:
    return "fails" in variant or bool(variant["fields"])


def _size(variant: Mapping[str, Any]) -> float:
    return float("inf") if "fails" in variant else float(variant["rate_ratio"] + variant["interval_ratio"] / 10)


def _table_line(row: Mapping[str, Any], factor: str, variant: Mapping[str, Any]) -> str:
    name = f"{row['module'].removeprefix('kvwatch.')}.{row['name']}"
    if "fails" in variant:
        return f"| {name} | {row['value']} | {factor} | {variant['fails']} | | | | | | |"
    others = [f for f in variant["fields"] if not f.startswith(("service_rate", "utilization"))]
    shown = ", ".join(others[:MOST_FIELDS]) + (
        f" and {len(others) - MOST_FIELDS} more" if len(others) > MOST_FIELDS else ""
    )
    return (
        f"| {name} | {row['value']} | {factor} | {variant['rate_ratio']:.1%} | {variant['interval_ratio']:.1%} "
        f"| {variant['median_error']:.1%} | {variant['worst_error']:.1%} | {variant['covered_ratio']:.0%} "
        f"| {variant['false_pages']} | {shown} |"
    )


def _names(rows: list[Mapping[str, Any]]) -> list[str]:
    return [f"- {row['module'].removeprefix('kvwatch.')}.{row['name']} = {row['value']}" for row in rows] or ["None."]
