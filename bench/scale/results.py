"""The results on disk: runs as JSON, and the page made from them."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.scale.parts import Parts
from bench.stamp import stamp

FOLDER = Path(__file__).parents[1] / "results"
_PARTS = {
    "client": "HTTP client and event loop | {} µs a scrape",
    "reading": "reading the exposition | {} µs a scrape",
    "core": "the core | {} µs a scrape",
    "view": "a view | {} µs an engine",
    "writing": "its lines on `/metrics` | {} µs an engine",
}
_HEAD = """\
# One process, a thousand engines

`python -m bench.scale --warm {warm_seconds}` on {made[date]} ({made[commit]}): {engines} embedded engines behind one
HTTP server, scraped at 1 Hz by one process on one core ({machine}), after {warm_seconds} s of warming up, {seconds} s
measured. The scraper has core 0, the server core 1. Latest is what the longest time between two scrapes of one engine
has over a second, as the server saw it; late are those of the worst 20 with more than a second. Runs of nearly the same
code: in the quieter one the second core and the caches were little used by others, in the crowded one both cores were,
with kvwatch and Prometheus first in line.

| run | scraper | scrapes/s | cores | CPU per scrape | peak memory | latest | late |
|---|---|---|---|---|---|---|---|"""
_REACHED = """
Aimed at: memory under {most_mb} MB, and no engine late by more than a second. Each engine every second is not reached
on one core; kvwatch uses it up at {share} of the scrapes. Against Prometheus its CPU per scrape is {ratios} times as
much, of which a sixth of the core goes to views in turn and up to a seventh to runs of the embedded engine, which
Prometheus has none of.
"""
_NOTES = """
- The parts are measured with 24 engines, whose data stay in the caches; with a thousand they do not, and the same work
  takes up to half as long again.
- `/metrics` came in {page} meanwhile; estimates were of {engines} engines, the oldest {oldest} s old. On a core that is
  full the turns come late: a first round takes five minutes and more, in which the number of replicas is withheld.
- An hour of watching, and not these five minutes, was not measured.

What single steps came to when they were mended, each the best of several tries on a crowded machine:

| step | before | after |
|---|---|---|"""
_MOST_MB = 600
"""What a thousand engines may take [MB]."""


def load(folder: Path = FOLDER) -> dict[str, Any]:
    """Runs that are on disk, in the units that their keys say."""
    data: dict[str, Any] = json.loads((folder / "scale.json").read_text(encoding="utf-8"))
    return data


def put(run: str, rows: list[dict[str, Any]], parts: Parts | None, asked: dict[str, int]) -> None:
    """Take a run in, in place of one of its name, and write data and page.

    ``asked`` is what it was asked for: ``engines``, ``warm_seconds``, ``seconds``.
    """
    data = load() | {"made": stamp()} | asked
    data["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    data["runs"] = [r for r in data["runs"] if r["run"] != run] + [{"run": run, **row} for row in rows]
    if parts is not None:
        data["parts"][run] = {key: round(value) for key, value in asdict(parts).items()}
    (FOLDER / "scale.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (FOLDER / "scale.md").write_text(page(data), encoding="utf-8")


def page(data: dict[str, Any]) -> str:
    """The whole page."""
    lines = [_HEAD.format(**data)]
    lines += [
        f"| {r['run']} | {r['scraper']} | {r['scrapes_per_second']:.0f} of {data['engines']} | {r['cores']:.2f} |"
        f" {r['cpu_milliseconds']:.2f} ms | {r['peak_mb']:.0f} MB | {r['latest_seconds']:.2f} s | {r['late']} |"
        for r in data["runs"]
    ]
    own = [r for r in data["runs"] if r["scraper"] == "kvwatch"]
    shares = sorted(r["scrapes_per_second"] / data["engines"] for r in own)
    lines.append(_REACHED.format(most_mb=_MOST_MB, share=_range(shares, ".0%"), ratios=_range(_ratios(data), ".1f")))
    lines += [f"| part of kvwatch | {' | '.join(data['parts'])} |", "|---" * (1 + len(data["parts"])) + "|"]
    for key, form in _PARTS.items():
        name, unit = form.split(" | ")
        cells = [unit.format(f"{parts[key]:.0f}") for parts in data["parts"].values()]
        lines.append(f"| {' | '.join([name, *cells])} |")
    pages = [r for r in own if "page_seconds" in r]
    lines.append(_NOTES.format(
        page=" and ".join(f"{r['page_seconds']:.1f} s" for r in pages),
        engines=" and ".join(str(r["page_engines"]) for r in pages),
        oldest=max(r.get("oldest_estimate_seconds", 0) for r in pages),
    ))  # fmt: skip
    lines += [f"| {' | '.join(step)} |" for step in data["steps"]]
    return "\n".join([*lines, ""])


def _ratios(data: dict[str, Any]) -> list[float]:
    """CPU per scrape over Prometheus' of the same run."""
    cpu = {(r["run"], r["scraper"]): r["cpu_milliseconds"] for r in data["runs"]}
    return sorted(cpu[run, "kvwatch"] / cpu[run, "Prometheus"] for run, scraper in cpu if scraper == "Prometheus")


def _range(values: list[float], spec: str) -> str:
    first, last = format(values[0], spec), format(values[-1], spec)
    return first if first == last else f"{first} to {last}"
