"""The command: writes all figures, pages and pictures; with ``--check`` only says which are out of date.

python -m bench.accuracy --only recordings   # first, where the core has changed: 10 s
python -m bench.publish
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.publish.figures import FIGURES
from bench.publish.marks import filled
from bench.publish.pages import pages

ROOT = Path(__file__).parents[2]
TEXTS = ("README.md", "docs/*.md", "docs/runbooks/*.md", "tests/data/recordings/README.md")


def main() -> int:
    """Write what is out of date; with ``--check`` 1 where something is."""
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    stale = list(out_of_date())
    for path, text in stale:
        print(path.relative_to(ROOT))
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and arguments.check else 0


def texts() -> list[Path]:
    """Texts that may have figures in them."""
    return [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern))]


def out_of_date() -> Iterator[tuple[Path, str]]:
    """Files that are not as they would be written now, and how they would be."""
    written = {path: filled(path.read_text(encoding="utf-8"), FIGURES) for path in texts()}
    written |= {ROOT / "bench" / "results" / name: text for name, text in pages().items()}
    for path, text in written.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


if __name__ == "__main__":
    sys.exit(main())
