"""Figures of what kvwatch costs, from the committed results."""

from __future__ import annotations

from bench.cost import results


def memory() -> str:
    """Memory of one process beside one engine."""
    return f"{results.load()['fleets'][0]['memory_mb']} MB"


def of_a_core() -> str:
    """The share of a core that one engine takes, scraped once a second."""
    return f"{results.load()['fleets'][0]['cpu_milliseconds'] / 1000:.1%}"


def parser_ratio() -> str:
    """All that, as a multiple of reading the same page with prometheus-client's parser."""
    data = results.load()
    return f"{data['fleets'][0]['cpu_milliseconds'] / results.reference_milliseconds(data):.1f}"
