"""The results pages and pictures, each from the committed JSON beside it."""

from __future__ import annotations

from bench.accuracy import results as accuracy
from bench.autoscaling import results as autoscaling
from bench.congestion.__main__ import written as congestion_page
from bench.cost import results as cost
from bench.latency_real import __main__ as latency_real
from bench.lead_time import results as lead_time
from bench.mutation.__main__ import DATA as MUTATION
from bench.mutation.__main__ import page as mutation_page
from bench.publish import latency
from bench.scale import results as scale
from bench.sensitivity import results as sensitivity


def pages() -> dict[str, str]:
    """Texts by file name in ``bench/results``."""
    return {
        "accuracy.md": accuracy.page(accuracy.load()),
        "congestion.md": congestion_page(),
        "latency.md": latency.page(),
        "latency_real.md": latency_real.report(latency_real.load()),
        "cost.md": cost.page(cost.load()),
        "scale.md": scale.page(scale.load()),
        "sensitivity.md": sensitivity.page(),
        **({"mutation.md": mutation_page()} if MUTATION.exists() else {}),
        **autoscaling.pages(autoscaling.load()),
        **lead_time.pages(lead_time.load()),
    }
