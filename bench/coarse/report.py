"""The page of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from bench.coarse.cases import BASES, RAMP_MINUTES
from kvwatch.backtest.coarse import Cost

_ROOT = Path(__file__).parents[2]
RESULTS = _ROOT / "kvwatch" / "backtest" / "coarse.json"
PAGE = _ROOT / "bench" / "results" / "coarse.md"


def save(costs: Sequence[Cost], leads: Mapping[str, Mapping[str, float | None]], made: Mapping[str, str]) -> None:
    """Write the results into the package, and the page about them."""
    document = {"made": dict(made), "costs": [asdict(cost) for cost in costs], "leads": leads}
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page, of the results that are kept."""
    document = orjson.loads(RESULTS.read_bytes())
    leads = document["leads"]
    intervals = list(next(iter(leads.values())))
    lines = [
        "# What coarse scrapes cost a backtest",
        "",
        f"Made by `python -m bench.coarse` on {document['made']['date']} ({document['made']['commit']}). Simulated "
        f"engines ({', '.join(BASES)}) go from half load into overload within "
        f"{' or '.join(map(str, RAMP_MINUTES))} minutes, scraped each second; then only every n-th scrape is left. "
        "Against the same at one second:",
        "",
        "| scrapes every | time with a valid ρ | μ differs by (median) | (90%) | page later by | too late |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {cost['interval_seconds']:.0f} s | {cost['judged_ratio']:.0%} | {cost['service_rate_error']:.1%} | "
            f"{cost['service_rate_error_p90']:.1%} | {cost['page_delay_seconds']:+.0f} s | {cost['missed_ratio']:.0%} |"
            for cost in document["costs"]
        ),
        "",
        "Lead of the first page over the queue [s], by case; `none` where no page came, negative where it came after:",
        "",
        "| case | " + " | ".join(f"{interval} s" for interval in intervals) + " |",
        "| --- |" + " --- |" * len(intervals),
        *(
            f"| {case} | " + " | ".join("none" if lead is None else f"{lead:+.0f}" for lead in by.values()) + " |"
            for case, by in leads.items()
        ),
    ]
    return "\n".join(lines) + "\n"
