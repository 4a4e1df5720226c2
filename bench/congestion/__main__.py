"""Runs the embedded part of the bench and writes the results page, with the real server's runs as far as there are any.

python -m bench.congestion          # about five minutes on an idle core
python -m bench.congestion report   # only the page, from the results that are there
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.congestion.embedded import outcome
from bench.congestion.mixes import mixes
from bench.congestion.report import page

RESULTS = Path(__file__).parents[1] / "results"
EMBEDDED, REAL, PAGE = RESULTS / "congestion.json", RESULTS / "congestion-real.jsonl", RESULTS / "congestion.md"


def main(arguments: list[str]) -> None:
    """Run what is asked for and write the page."""
    if arguments != ["report"]:
        outcomes = []
        for mix in mixes():
            outcomes.append(asdict(outcome(mix)))
            print(mix.name, flush=True)
        EMBEDDED.write_text(json.dumps(outcomes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = json.loads(EMBEDDED.read_text(encoding="utf-8"))
    lines = REAL.read_text(encoding="utf-8").splitlines() if REAL.exists() else []
    PAGE.write_text(page(rows, [json.loads(line) for line in lines]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
