"""Command lines as vLLM, Dynamo and SGLang are started with, and as others are."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings import server_command, settings_from_options


def settings(text: str, variables: dict[str, str] | None = None, *, shells: bool = False) -> Settings | None:
    """What a command line shows."""
    found = server_command(shlex.split(text), variables, shells=shells)
    if found is None:
        return None
    return settings_from_options(found.options, SettingSource.PROCESS, complete=not found.config_file)


def sizes(text: str, variables: dict[str, str] | None = None) -> tuple[int | None, int | None, int | None]:
    """Seats, budget and longest request of a command line, in a shell's script too."""
    found = settings(text, variables, shells=True)
    assert found is not None
    return found.max_num_seqs, found.max_num_batched_tokens, found.max_model_len


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/usr/bin/python3 /usr/bin/vllm serve m --max-num-seqs 37 --max-num-batched-tokens 512", (37, 512, None)),
        ("vllm serve m --max-num-seqs=37 --max_num_batched_tokens=8k --max-model-len 32K", (37, 8000, 32_768)),
        ("vllm serve m --max-num-seqs 256 --max-num-seqs 37", (37, None, None)),
        ("python3 -m vllm.entrypoints.openai.api_server --model m --max-num-seqs 12", (12, None, None)),
        ("python /x/site-packages/vllm/entrypoints/openai/api_server.py --max-num-seqs 12", (12, None, None)),
        ("python -m dynamo.vllm --model m --max-num-seqs 64", (64, None, None)),
        ("python -m sglang.launch_server --max-running-requests 48 --chunked-prefill-size 4096", (48, 4096, None)),
        ("vllm serve m --max-num-seqs many --max-model-len auto", (None, None, None)),
        ("vllm serve m --max-num-seqs", (None, None, None)),
        ("bash -c 'exec vllm serve m --max-num-seqs 37'", (37, None, None)),
        ("sh -ec 'cd /x && ulimit -n 99 ; vllm serve m \\\n  --max-num-seqs 37 # few'", (37, None, None)),
        ("vllm serve m --max-num-batched-tokens 2048 --max-num-scheduled-tokens 1280", (None, 1280, None)),
    ],
)
def test_settings_of_a_command_line(text: str, expected: tuple[int | None, ...]) -> None:
    """In all the ways in which an option can be written."""
    assert sizes(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "nginx -g daemon", "vllm bench serve --max-num-seqs 3", "python -m vllm_router --port 8000", "tail vllm.log"],
)
def test_what_starts_no_server_has_none(text: str) -> None:
    """Its options are somebody else's."""
    assert settings(text, shells=True) is None


def test_variables_are_replaced_where_their_values_are_known() -> None:
    """Kubernetes replaces $(NAME) everywhere, a shell ${NAME} and $NAME; others stay, and the value is not known."""
    known = {"SEATS": "37", "ARGS": "--max-num-seqs 37 --max-model-len 4096"}
    assert sizes("vllm serve m --max-num-seqs $(SEATS)", known) == (37, None, None)
    assert sizes("sh -c 'vllm serve m --max-num-seqs ${SEATS}'", known) == (37, None, None)
    assert sizes("sh -c 'vllm serve m $ARGS'", known) == (37, None, 4096)
    unknown = settings("vllm serve m --max-num-seqs $(OTHER)", known)
    assert unknown == Settings(source=SettingSource.PROCESS)
    assert settings("vllm serve m --max-num-seqs $SEATS", known) == Settings(source=SettingSource.PROCESS)


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("vllm serve m", True),
        ("vllm serve m --max-num-seqs 8", True),
        ("vllm serve m --config /etc/vllm.yaml", False),
        ("vllm serve m --performance-mode throughput", False),
    ],
)
def test_a_command_line_is_all_that_was_given_unless_it_names_a_file(text: str, complete: bool) -> None:
    """Then what is not there has its default."""
    found = settings(text)
    assert found is not None
    assert found.complete is complete


def test_other_settings_and_where_it_runs() -> None:
    """Yes and no in their forms, and the product of the two ways to spread a model."""
    text = (
        "vllm serve m -tp 4 --pipeline-parallel-size 2 --no-enable-prefix-caching --async-scheduling "
        "--watermark 0.02 --prefill-schedule-interval 4 --device cpu"
    )
    assert settings(text) == Settings(
        source=SettingSource.PROCESS,
        complete=True,
        device="cpu",
        world_size=8,
        prefill_schedule_interval=4,
        watermark_ratio=0.02,
        async_scheduling=True,
        enable_prefix_caching=False,
    )


def test_the_port_is_an_option_or_the_default() -> None:
    """VLLM's is 8000, SGLang's 30000; Dynamo's worker has none."""
    for text, port in (
        ("vllm serve m", 8000),
        ("vllm serve m --port 9001", 9001),
        ("python -m sglang.launch_server", 30_000),
        ("python -m dynamo.vllm", None),
    ):
        found = server_command(shlex.split(text))
        assert found is not None
        assert found.port == port


STARTS = st.sampled_from(["vllm", "serve", "-m", "sh", "-c", "--max-num-seqs", "$("])
words = st.lists(st.one_of(st.text(max_size=12), STARTS))


@given(command=words, variables=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3))
def test_no_command_line_raises(command: list[str], variables: dict[str, str]) -> None:
    """Whatever a process calls itself."""
    found = server_command(command, variables, shells=True)
    if found is not None:
        settings_from_options(found.options, SettingSource.PROCESS, complete=True)
