"""Dynamo shows the settings of its workers beside the metrics of vLLM."""

from __future__ import annotations

import pytest

from kvwatch.parse.exposition import ExpositionReader

ENGINE = """\
vllm:num_requests_running{engine="0",model_name="Acme/Chat-8B"} 3.0
vllm:num_requests_waiting{engine="0",model_name="Acme/Chat-8B"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="Acme/Chat-8B"} 0.1
"""
SEATS = "dynamo_frontend_model_max_num_seqs"
BUDGET = "dynamo_frontend_model_max_num_batched_tokens"


def settings(*lines: str) -> tuple[float | None, float | None]:
    """Seats and budget of the engine beside these lines."""
    body = "".join(f"{line}\n" for line in lines) + ENGINE
    (engine,) = ExpositionReader().read(body.encode(), 1.0).engines
    assert engine.running == 3
    return engine.max_num_seqs, engine.max_num_batched_tokens


def test_settings_are_those_of_the_model_that_they_name() -> None:
    """In whatever case; what is shown of other models is theirs."""
    lines = (
        f'{SEATS}{{model="acme/chat-8b"}} 256',
        f'{BUDGET}{{model="acme/chat-8b"}} 2048',
        f'{SEATS}{{model="b"}} 8',
    )
    assert settings(*lines) == (256, 2048)
    assert settings(f'{SEATS}{{model="b"}} 8') == (None, None)


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "+Inf"])
def test_what_is_no_size_is_unknown(value: str) -> None:
    """A gauge that was never set shows 0."""
    assert settings(f'{SEATS}{{model="acme/chat-8b"}} {value}') == (None, None)


def test_two_values_for_one_model_are_none() -> None:
    """Two deployments behind one frontend."""
    series = [f'{SEATS}{{model="acme/chat-8b",endpoint="{n}"}} {n}' for n in (8, 16)]
    assert settings(*series) == (None, None)
