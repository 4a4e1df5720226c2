"""Runs the embedded part of the bench and writes the results page, with the real server's runs as far as there are any.

python -m bench.congestion          # about five minutes on an idle core
python -m bench.congestion predict  # what waves are predicted, anew, of mixes whose simulations are there
python -m bench.congestion report   # only the page, from the results that are there
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.congestion.classes import class_mixes, class_outcome
from bench.congestion.embedded import outcome, predicted
from bench.congestion.mixes import Mix, mixes
from bench.congestion.report import page
from bench.stamp import stamp

RESULTS = Path(__file__).parents[1] / "results"
EMBEDDED, CLASSES = RESULTS / "congestion.json", RESULTS / "congestion-classes.json"
REAL, PAGE = RESULTS / "congestion-real.jsonl", RESULTS / "congestion.md"


def main(arguments: list[str]) -> None:
    """Run what is asked for and write the page."""
    if not arguments:
        _write(EMBEDDED, [asdict(outcome(mix)) for mix in _told(mixes())])
        _write(CLASSES, [asdict(class_outcome(mix)) for mix in _told(class_mixes())])
    elif arguments == ["predict"]:
        for path, known in ((EMBEDDED, mixes()), (CLASSES, class_mixes())):
            _write(path, [row | _prediction(mix) for row, mix in zip(read(path), known, strict=True)])
    PAGE.write_text(written(), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["mixes"]
    return rows


def real_runs() -> list[dict[str, Any]]:
    """What was measured on the real server, as far as it was."""
    lines = REAL.read_text(encoding="utf-8").splitlines() if REAL.exists() else []
    return [json.loads(line) for line in lines]


def written() -> str:
    """The page, from the results that are there."""
    made: dict[str, str] = json.loads(EMBEDDED.read_text(encoding="utf-8"))["made"]
    return page(read(EMBEDDED), read(CLASSES), real_runs(), made)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    data = {"made": stamp(), "mixes": rows}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _prediction(mix: Mix) -> dict[str, Any]:
    found = predicted(mix)
    return {"growth": found.growth, "verdict": found.verdict}


def _told(known: list[Mix]) -> Iterator[Mix]:
    for mix in known:
        print(mix.name, flush=True)
        yield mix


if __name__ == "__main__":
    main(sys.argv[1:])
