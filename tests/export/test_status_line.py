"""An engine in one line: what is known, in the order in which it is wanted."""

from __future__ import annotations

import pytest

from kvwatch.core.engine_state import EngineState
from kvwatch.export.status_line import status_line
from kvwatch.export.summary import summarize
from tests.export.test_summary import RISING, document

WRONG = {"value": 256, "source": "config", "words": "kvwatch's configuration says …"}


@pytest.mark.parametrize(
    ("state", "fields", "line"),
    [
        (
            "approaching",
            RISING | {"recommended_max_num_seqs": 128.0, "recommended_gain_ratio": 0.09},
            "12.0 of 17.5 req/s (69%), seats bind, full in 14 min; +9% at 128 seats (a restart)",
        ),
        ("fine", {"binding_limit": {"kv": 1.0}}, "12.0 of 17.5 req/s (69%), KV memory binds"),
        ("overloaded", {"queue_length": 1520.0}, "12.0 of 17.5 req/s (69%), seats bind, 1,520 wait"),
        ("overloaded", {"replicas_required": 3.0}, "12.0 of 17.5 req/s (69%), seats bind; 3 replicas needed, 2 now"),
        ("fine", {"replicas_required": 2.0}, "12.0 of 17.5 req/s (69%), seats bind"),
        (
            "draining",
            {"queue_length": 52.0, "backlog_drain_seconds": 130.0},
            "12.0 of 17.5 req/s (69%), seats bind, 52 wait, empty in 2 min",
        ),
        (
            "fine",
            {"settings": {"max_num_seqs": {"value": 37, "source": "measured", "refuted": [WRONG]}}},
            "12.0 of 17.5 req/s (69%), seats bind; max_num_seqs is 37, not 256 (kvwatch's configuration)",
        ),
        ("evicting", {"congestion_loss_ratio": 0.09}, "12.0 of 17.5 req/s (69%), seats bind, 9% lost to evictions"),
    ],
)
def test_a_line_has_what_its_state_asks_for(state: str, fields: dict[str, object], line: str) -> None:
    """To the letter, for scripts and habits are made of it."""
    assert status_line(summarize(document(state, **fields), {"replicas": 2.0})) == line


@pytest.mark.parametrize("state", EngineState)
def test_a_line_of_an_engine_of_which_nothing_is_known_is_no_nonsense(state: EngineState) -> None:
    """Only the state."""
    bare = {"target": "a:1", "model_name": "m", "engine": "0", "engine_state": {state.value: 1.0}}
    line = status_line(summarize(bare))
    assert line
    assert "None" not in line


def test_a_line_says_what_is_missing_for_more() -> None:
    """Where μ is not known yet, why."""
    verdict = {"valid": 0, "reason": "law_unknown", "words": "too few busy scrape intervals so far"}
    early = {
        "target": "a:1",
        "model_name": "m",
        "engine": "0",
        "engine_state": {"warming_up": 1.0},
        "arrival_rate": {"8s": 3.1},
        "estimate_valid": {"service_rate": verdict},
    }
    assert status_line(summarize(early)) == "3.1 req/s; too few busy scrape intervals so far"


def test_a_line_says_why_more_replicas_are_needed_than_the_load_asks_for() -> None:
    """An engine that is fine again, and whose model still has the number of minutes ago."""
    model = {"replicas": 1.0, "replicas_added": {"surge": 0.0, "recent_load": 2.0}}
    line = status_line(summarize(document("fine", replicas_required=3.0), model))
    assert line.endswith("; 3 replicas needed (2 of them for the load of minutes ago), 1 now")
