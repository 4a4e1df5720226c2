"""Settings from what vLLM's API and recordings say; whatever else comes is unknown."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings import (
    settings_from_models,
    settings_from_recording,
    settings_from_server_info,
    version_from,
)

READERS = [settings_from_models, settings_from_recording, settings_from_server_info, version_from]

MODELS = {
    "object": "list",
    "data": [
        {"id": "alias", "object": "model", "root": "org/model-7b", "parent": None, "max_model_len": 4096},
        {"id": "other", "object": "model", "root": "org/other", "parent": None, "max_model_len": 8192},
        {"id": "adapter", "object": "model", "root": "/lora", "parent": "alias", "max_model_len": None},
    ],
}
SERVER_INFO = {
    "vllm_config": {
        "model_config": {"max_model_len": 1000, "dtype": "torch.bfloat16"},
        "scheduler_config": {
            "runner_type": "generate",
            "max_num_batched_tokens": 512,
            "max_num_seqs": 256,
            "max_num_active_seqs": None,
            "enable_chunked_prefill": True,
        },
    },
    "vllm_env": {},
    "system_env": {},
}
TEXT_INFO = {
    "vllm_config": "model='org/model-7b', dtype=torch.bfloat16, max_seq_len=1000, load_format=auto, "
    "scheduler_config=SchedulerConfig(max_num_seqs=12, max_num_batched_tokens=2048)"
}


def _bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("name", "length"), [(None, 4096), ("alias", 4096), ("other", 8192), ("adapter", 4096), ("gone", 4096)]
)
def test_models(name: str | None, length: int) -> None:
    """The entry of the name counts, else the first that has a length; an adapter has none of its own."""
    assert settings_from_models(_bytes(MODELS), name) == Settings(max_model_len=length, source="models")


def test_server_info() -> None:
    """The shape that vLLM 0.32 answers with gives all three."""
    assert settings_from_server_info(_bytes(SERVER_INFO)) == Settings(256, 512, 1000, "server_info")


def test_server_info_as_text() -> None:
    """Old versions answer with one text; what it names is read."""
    assert settings_from_server_info(_bytes(TEXT_INFO)) == Settings(12, 2048, 1000, "server_info")
    assert settings_from_server_info(_bytes({"vllm_config": "model='m', seed=0"})) is None


def test_recording() -> None:
    """A recording's settings.json; what it leaves out is unknown."""
    assert settings_from_recording(b'{"max_num_seqs": 12, "max_num_batched_tokens": 512}') == Settings(
        12, 512, None, "recording"
    )


def test_version() -> None:
    """The version, as the server says it."""
    assert version_from(b'{"version":"0.32.0"}') == "0.32.0"


@pytest.mark.parametrize("value", ["256", 0, -1, 1.5, True, None, [], {}, 10**30, "x" * 100, float("inf")])
def test_a_value_of_the_wrong_kind_is_unknown(value: object) -> None:
    """Only a positive whole number is a size; nothing else is turned into one."""
    assert settings_from_recording(_bytes({"max_num_seqs": value})) is None
    assert settings_from_models(_bytes({"data": [{"max_model_len": value}]})) is None
    info = {"vllm_config": {"scheduler_config": {"max_num_seqs": value}, "model_config": value}}
    assert settings_from_server_info(_bytes(info)) is None


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b"<html>",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b" " * 9_000_000,
    ],
    ids=lambda body: repr(body[:8]),
)
def test_what_is_no_answer_is_unknown(read: Callable[[bytes], object], body: bytes) -> None:
    """An error page, a deep nest, nothing at all: unknown, and no exception."""
    assert read(body) is None


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "id",
                    "max_model_len",
                    "vllm_config",
                    "scheduler_config",
                    "model_config",
                    "max_num_seqs",
                    "version",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(value=json_values)
def test_no_json_raises(value: object) -> None:
    """JSON of any shape under the right names gives settings or nothing."""
    for read in READERS:
        found = read(_bytes(value))
        if isinstance(found, Settings):
            sizes = (found.max_num_seqs, found.max_num_batched_tokens, found.max_model_len)
            assert all(size is None or size > 0 for size in sizes)
            assert any(size is not None for size in sizes)


SGLANG = {
    "max_running_requests": None,
    "chunked_prefill_size": 8192,
    "context_length": 32768,
    "max_total_num_tokens": 500_000,
    "internal_states": [{"effective_max_running_requests_per_dp": 512, "memory_usage": {"token_capacity": 500_000}}],
}


@pytest.mark.parametrize(
    ("change", "seats"),
    [
        ({}, 512),
        ({"internal_states": [], "max_running_requests": 64}, 64),
        ({"internal_states": [{}]}, None),
        ({"internal_states": "none"}, None),
    ],
)
def test_sglang_answers_with_its_arguments_and_its_schedulers_state(
    change: dict[str, object], seats: int | None
) -> None:
    """What came to hold in the scheduler counts before what was asked for."""
    found = settings_from_server_info(json.dumps(SGLANG | change).encode())
    assert found is not None
    assert (found.max_num_seqs, found.max_num_batched_tokens, found.max_model_len) == (seats, 8192, 32768)
    assert found.source is SettingSource.SERVER_INFO
