"""Every query of the dashboards returns data from a real Prometheus."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from tests.dashboards.boards import NAMES, filled, queries
from tests.dashboards.live import PATIENCE_SECONDS, Stored, stored

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not on the PATH"),
]

ONE_OF = {
    frozenset({"Replicas / B", "Replicas / C"}),
    frozenset({"Full next / A", "Full next / B"}),
}
"""Queries of which just one has data at a time, by design."""
SILENT = {"annotation Alerts", "annotation Restarts"}
"""Queries without data here: this Prometheus has no rules, and no engine of the demo begins again (test_queries has one
that does)."""
FULL_PAGE_ONLY = {
    "Memory-work by tenant / A",
    "Arrivals by tenant / A",
    "Waves in a full engine / B",
    "Waves in a full engine / C",
    "Full in / B",
    "A max_num_seqs that helps / A",
    "A max_num_seqs that helps / B",
    "Load of the latency target / A",
    "Time to the first token / C",
    "Time between tokens / C",
}
"""Queries that the demo leaves empty: it writes no request log, makes no waves, no cap on its seats helps it, and it is
not asked for latencies."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """The demo, watched from its beginning into overload."""
    with stored(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def with_data(past: Stored, name: str, model: str, instance: str) -> set[str]:
    """Places of a dashboard whose query has had data, with the variables set to an engine of the model."""
    engine = past.series(f'kvwatch_running_requests{{model_name="{model}",instance="{instance}"}}')[0]["metric"]
    windows = past.series(f'kvwatch_arrival_rate{{model_name="{model}",instance="{instance}"}}')
    longest = max((series["metric"]["window"] for series in windows), key=lambda word: (len(word), word))
    labels = {key: engine[key] for key in ("model_name", "target", "engine", "instance")}
    values = {**labels, "window": longest, "__rate_interval": "4s"}
    return {place for place, expression in queries(name) if past.series(filled(expression, **values))}


@pytest.mark.parametrize("name", NAMES)
def test_every_query_returns_data(past: Stored, name: str) -> None:
    """With a chosen engine of the demo each query has had data; the few that cannot, from a page with everything."""
    places = {place for place, _ in queries(name)}

    def empty() -> set[str]:
        here = with_data(past, name, "ramp", past.demo)
        return places - here - SILENT - {place for pair in ONE_OF if pair & here for place in pair}

    # the story goes on: what an estimate needs may come some scrapes after the overload is seen
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not empty() <= FULL_PAGE_ONLY and time.monotonic() < deadline:
        time.sleep(1.0)
    empty_now = empty()
    assert empty_now <= FULL_PAGE_ONLY
    assert empty_now <= with_data(past, name, "llama", past.page)
