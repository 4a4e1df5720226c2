"""Figures from what was measured of kvwatch itself."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from bench.page import RESULTS


@cache
def _page() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return loaded


def page_engines() -> str:
    """How many engines the page was measured with."""
    return str(_page()["engines"])


def page_own() -> str:
    """What the page's own part takes of a core for one viewer."""
    return f"{_page()['own_share']:.1%}"


def page_daemon() -> str:
    """What the whole daemon took with a viewer and without one, of each turn the mean and the ends."""
    found = _page()
    turns = [*found["turns"]["without"], *found["turns"]["with"]]
    return (
        f"{found['daemon_share_viewed']:.1%} of a core, without {found['daemon_share']:.1%} "
        f"(single turns from {min(turns):.1%} to {max(turns):.1%})"
    )
