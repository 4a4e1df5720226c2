"""Expositions as whoever passes metrics on writes them: other names, more labels, several servers on one page."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")


def passed_on(
    text: str,
    *,
    prefix: str = "vllm:",
    labels: Mapping[str, str] | None = None,
    without: frozenset[str] = frozenset(),
    time_ms: int | None = None,
    lacking: str = "",
) -> str:
    """The samples of an exposition under another ``prefix``, with more ``labels`` and a timestamp.

    Labels named in ``without`` are left out; families whose name has ``lacking`` in it do not get the new ones.
    """
    lines = []
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or not (match["name"].startswith("vllm:") or match["name"] == "process_start_time_seconds"):
            continue
        name = match["name"].replace("vllm:", prefix)
        own = re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', match["labels"] or "")
        kept = [(key, value) for key, value in own if key not in without]
        if not (lacking and lacking in name):
            kept += (labels or {}).items()
        shown = ",".join(f'{key}="{value}"' for key, value in kept)
        stamp = "" if time_ms is None else f" {time_ms}"
        lines.append(f"{name}{{{shown}}} {match['value']}{stamp}")
    return "\n".join(lines) + "\n"
