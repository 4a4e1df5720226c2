"""How long one scrape takes to read, beside the reference parser on the same bytes in the same run.

Run ``python bench/parse.py``. The scrapes are consecutive ones of a recorded saturated server, so most values
differ from one to the next. Times are the best of several rounds.
"""

from __future__ import annotations

import gzip
import json
import timeit
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from kvwatch.parse.exposition import ExpositionReader

RECORDING = Path(__file__).parent.parent / "tests" / "data" / "recordings" / "ramp11" / "scrapes.jsonl.gz"
ROUNDS = 7
SCRAPES = 20
READERS = 20


def main() -> None:
    """Measure and print the table."""
    with gzip.open(RECORDING, "rt") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, 40, 40 + SCRAPES)]
    bodies = [text.encode() for text in texts]
    reader = ExpositionReader()
    seconds = {
        "prometheus_client": _best(lambda: [_exhaust(text) for text in texts]),
        "kvwatch, first scrape": _best(lambda: [ExpositionReader().read(body, 0.0) for body in bodies]),
        "kvwatch, next scrapes": _best(lambda: [reader.read(body, 0.0) for body in bodies]),
    }
    reference = seconds["prometheus_client"]
    lines_per_scrape = bodies[0].count(b"\n")
    table = Table("reader", "ms a scrape", "ns a line", "times as fast", "1,000 targets at 1 Hz")
    for name, taken in seconds.items():
        table.add_row(
            name,
            f"{taken * 1e3:.2f}",
            f"{taken / lines_per_scrape * 1e9:.0f}",
            f"{reference / taken:.1f}",
            f"{taken * 1_000:.0%} of a core",
        )
    console = Console(width=110)
    console.print(f"{len(bodies[0]):,} bytes, {lines_per_scrape} lines a scrape")
    console.print(table)
    console.print(f"memory held by one reader between scrapes: {_held_bytes(bodies) / 1024:.0f} kB")


def _best(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=1, repeat=ROUNDS)) / SCRAPES


def _exhaust(text: str) -> None:
    for family in text_string_to_metric_families(text):
        _ = family.samples


def _held_bytes(bodies: list[bytes]) -> float:
    tracemalloc.start()
    readers = [ExpositionReader() for _ in range(READERS)]
    for reader in readers:
        for body in bodies[:2]:
            reader.read(body, 0.0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / READERS


if __name__ == "__main__":
    main()
