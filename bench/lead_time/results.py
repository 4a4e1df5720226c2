"""The results on disk: every case with every rule's verdict as JSON, and the page and pictures made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.lead_time import plot, report, scenarios
from bench.lead_time.judge import Judged, Verdict

FOLDER = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Results:
    """What was judged, when and from which commit it was ``made``, and the CPU time that it took [s]."""

    made: dict[str, str]
    cpu_seconds: float
    cases: Sequence[Judged]


def load(folder: Path = FOLDER) -> Results:
    """Results that are on disk. Raises KeyError for a case that there is no more."""
    data = orjson.loads((folder / "lead_time.json").read_bytes())
    known = {case.name: case for case in scenarios.cases()}
    cases = [
        Judged(
            case=known[row["case"]],
            onset=row["onset"],
            onset_load=row["onset_load"],
            stable_hours=row["stable_hours"],
            dropped_hours=row["dropped_hours"],
            verdicts=tuple(Verdict(rule=rule, **said) for rule, said in row["rules"].items()),
        )
        for row in data["cases"]
    ]
    return Results(data["made"], data["cpu_seconds"], cases)


def save(results: Results, folder: Path = FOLDER) -> None:
    """Write data, page and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"made": results.made, "cpu_seconds": results.cpu_seconds, "cases": report.as_json(results.cases)}
    (folder / "lead_time.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    for name, text in pages(results).items():
        (folder / name).write_text(text, encoding="utf-8")


def pages(results: Results) -> dict[str, str]:
    """Page and pictures by file name."""
    return {
        "lead_time.md": report.markdown(results.cases, cpu_seconds=results.cpu_seconds, made=results.made),
        "lead_time_leads.svg": plot.lead_distributions(results.cases),
        "lead_time_false_pages.svg": plot.false_page_rates(results.cases),
    }
