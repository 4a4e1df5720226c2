"""When and from which code a result was made, to be written beside it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def stamp() -> dict[str, str]:
    """Date (UTC) and commit, with a mark where files differ from it, other than results, which no result depends on."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)bench/results")
    return {"date": datetime.now(UTC).date().isoformat(), "commit": commit + ("+" if changed else "")}


def _git(*arguments: str) -> str:
    found = subprocess.run(["git", "-C", str(_ROOT), *arguments], check=True, capture_output=True, text=True)
    return found.stdout.strip()
