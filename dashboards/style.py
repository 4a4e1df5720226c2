"""Colours and units. Green, orange and red speak of the state only; every other colour names a quantity."""

from __future__ import annotations

CALM = "green"
WORRY = "orange"
DANGER = "red"
MUTED = "#8e8e8e"
PLAIN = "text"


DEMAND = "blue"
"""What arrives: λ and ρ."""
LIMIT = "red"
"""What must not be crossed: μ and 1 − δ."""
LIMIT_COLORS = {"kv": "purple", "seqs": "yellow", "tokens": "#37b7c3"}
"""One colour for each limit, the same in every panel."""
LIMIT_WORDS = {"kv": "KV memory", "seqs": "seats", "tokens": "token budget"}
WAITING = "#9d8df1"
"""What waits."""

RATE = "reqps"
RATIO = "percentunit"
SECONDS = "s"
COUNT = "short"
