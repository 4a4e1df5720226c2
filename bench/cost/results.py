"""The results on disk: figures as JSON, and the page made from them."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from bench.stamp import stamp

FOLDER = Path(__file__).parents[1] / "results"
_HEAD = """\
# What kvwatch costs

`python -m bench.cost` on {made[date]} ({made[commit]}), {machine}. Every figure stands beside a reference of
the same run: on a machine that does other work all of them are larger, and the ratios stay nearly what they are.

| engines | scrapes in {seconds} s | CPU of a scrape | times the parser's | memory | times idle aiohttp |
|---|---|---|---|---|---|"""
_NOTES = """
CPU of a scrape is all that the process does from one scrape to the next, views, runs of the embedded engine and its
own pages too, {warm_seconds} s after the start. The parser is prometheus-client's `text_string_to_metric_families` on
the very page, of {page_lines} lines: {reference} ms.
Idle aiohttp is a process that has imported `aiohttp.web` and does nothing: {idle_mb} MB.

| start | CPU | times an import of aiohttp.web |
|---|---|---|"""
_FAULTS = """
Memory of one process that watches two engines, of which one goes wrong for {fault_seconds} s at a time; each row is
{calm_seconds} s after the fault was over.

What the second time adds would be a leak; what the first leaves is memory that the allocator keeps for the next.

| after | peak meanwhile | memory | of before | threads | open files |
|---|---|---|---|---|---|"""

_AIMS = """
Aimed at for one engine, at one scrape a second: {most_mb} MB, ready after {ready} s, {core:.1%} of a core; reached are
{memory_mb} MB, {ready_cpu_seconds} s of CPU and {reached:.1%}. Where fewer scrapes came than were due, the
machine had no time left.
"""
_MOST_MB, _READY_SECONDS, _CORE_RATIO = 90, 0.7, 0.003


def load(folder: Path = FOLDER) -> dict[str, Any]:
    """What is on disk, in the units that the keys say."""
    data: dict[str, Any] = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    return data


def put(measured: dict[str, Any]) -> None:
    """Write data and page."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    data = {"made": stamp(), "machine": machine} | measured
    (FOLDER / "cost.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (FOLDER / "cost.md").write_text(page(data), encoding="utf-8")


def reference_milliseconds(data: dict[str, Any]) -> float:
    """CPU of the reference parser for a page [ms]: the mean of before and after."""
    return float(data["reference_milliseconds"] + data["reference_milliseconds_after"]) / 2


def page(data: dict[str, Any]) -> str:
    """The whole page."""
    reference = reference_milliseconds(data)
    lines = [_HEAD.format(**data)]
    lines += [
        f"| {f['engines']} | {f['scrapes']} of {f['expected']} | {f['cpu_milliseconds']:.2f} ms |"
        f" {f['cpu_milliseconds'] / reference:.2f} | {f['memory_mb']} MB | {f['memory_mb'] / data['idle_mb']:.1f} |"
        for f in data["fleets"]
    ]
    lines.append(_NOTES.format(reference=f"{reference:.2f}", **data))
    base = next(iter(data["commands"].values()))
    started = {"`kvwatch run` until it answers": data["fleets"][0]["ready_cpu_seconds"]}
    lines += [
        f"| {name} | {seconds:.2f} s | {seconds / base:.1f} |" for name, seconds in (data["commands"] | started).items()
    ]
    one = data["fleets"][0]
    reached = one["cpu_milliseconds"] / 1000
    lines.append(_AIMS.format(most_mb=_MOST_MB, ready=_READY_SECONDS, core=_CORE_RATIO, reached=reached, **one))
    before = data["faults"][0]["memory_mb"]
    lines.append(_FAULTS.format(**data))
    lines += [
        f"| {f['after']} | {str(f['peak_mb']) + ' MB' if 'peak_mb' in f else '–'} | {f['memory_mb']} MB |"
        f" {f['memory_mb'] / before:.0%} | {f['threads']} | {f['files']} |"
        for f in data["faults"]
    ]
    return "\n".join([*lines, ""])
