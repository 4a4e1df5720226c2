"""The results on disk: every run as JSON, and the page and the picture made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bench.autoscaling import plot, report, scenarios, score
from bench.autoscaling.policies import Policy
from bench.autoscaling.scenarios import Scenario
from bench.autoscaling.score import Outcomes
from bench.autoscaling.simulate import Outcome

FOLDER = Path(__file__).parents[1] / "results"
_POLICY = ("signal", "target", "down_seconds", "minimum")


@dataclass(frozen=True)
class Results:
    """What came of each policy in each scenario, and when and from which commit it was ``made``."""

    made: dict[str, str]
    scenarios: Sequence[Scenario]
    outcomes: Outcomes


def load(folder: Path = FOLDER) -> Results:
    """Results that are on disk. Raises KeyError for a scenario that there is no more."""
    data = orjson.loads((folder / "autoscaling.json").read_bytes())
    known = {s.name: s for s in (*scenarios.ALL, *scenarios.quick())}
    outcomes = {}
    for row in data["runs"]:
        scenario, policy = known[row.pop("scenario")], Policy(**{key: row.pop(key) for key in _POLICY})
        outcomes[scenario, policy] = Outcome(**row)
    return Results(data["made"], list(dict.fromkeys(s for s, _ in outcomes)), outcomes)


def save(results: Results, folder: Path = FOLDER) -> None:
    """Write data, page and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = [{"scenario": s.name, **asdict(p), **asdict(o)} for (s, p), o in results.outcomes.items()]
    for run in runs:
        del run["timeline"]
    data = {"made": results.made, "runs": runs}
    (folder / "autoscaling.json").write_bytes(orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE))
    for name, text in pages(results).items():
        (folder / name).write_text(text, encoding="utf-8")


def pages(results: Results) -> dict[str, str]:
    """Page and picture by file name."""
    return {
        "autoscaling.md": report.markdown(results.outcomes, results.scenarios, "autoscaling.svg", results.made),
        "autoscaling.svg": plot.svg(score.totals(results.outcomes, results.scenarios)),
    }
