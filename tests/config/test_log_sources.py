"""A target's logs in the configuration: what is meant is read, and each mistake is told with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvwatch.config import ConfigError
from kvwatch.config.load import read_config
from kvwatch.daemon.ingest import log_sources
from kvwatch.parse.logs import FORMATS, LINE_RESULTS, QUANTITIES

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()


def faults(logs: str) -> list[str]:
    """The messages about some logs, without the path that they begin with."""
    try:
        read_config(f"targets:\n- url: http://a\n  logs: {logs}\n".encode())
    except ConfigError as error:
        return [str(fault).removeprefix("targets[0].logs") for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ("{path: a}", ': expected a list, each item beginning with "- ", got {"path": "a"}'),
        ("[{format: vllm}]", '[0].path: is missing; add "path: <path or glob>"'),
        (
            "[{path: a, format: text}]",
            '[0].format: "text" is not a choice; give vllm or kvwatch or litellm or envoy or nginx or otel or json',
        ),
        (
            "[{path: a, format: json}]",
            "[0].fields: format json needs prompt_tokens and completion_tokens; give the path of each",
        ),
        (
            "[{path: a, format: envoy, fields: {prompt_token: x}}]",
            '[0].fields.prompt_token: unknown key; did you mean "prompt_tokens"?',
        ),
        (
            "[{path: a, format: envoy, fields: {status: {a: b}}}]",
            '[0].fields.status: expected text, got {"a": "b"}; put it in quotes',
        ),
        ("[{path: a, format: envoy, fields: [a]}]", '[0].fields: expected keys and values, got ["a"]'),
        (
            "[{path: a, format: envoy, fields: {status: 'a\"b'}}]",
            '[0].fields.status: "a\\"b" has a quote or a backslash; such keys cannot be named',
        ),
        (
            "[{path: a, format: vllm, tenant_field: x}]",
            "[0].tenant_field: vLLM's own log has no such fields; remove it",
        ),
        ("[{path: a, format: vllm, only: {a: b}}]", "[0].only: vLLM's own log has no such fields; remove it"),
        (
            "[{path: a, format: envoy, tenant_field: x, fields: {tenant: y}}]",
            "[0].tenant_field: fields.tenant is given as well; keep one of them",
        ),
        (
            "[{path: a, format: envoy, tenant_key_file: /k}]",
            "[0].tenant_key_file: is of no use without tenant_hash: true",
        ),
        ("[{path: a, format: vllm, start: middle}]", '[0].start: "middle" is not a choice; give end or beginning'),
        (
            "[{path: a, format: vllm, time_zone: Mars/Olympus}]",
            '[0].time_zone: "Mars/Olympus" is no time zone; give a name such as "UTC" or "Europe/Berlin"',
        ),
        (
            "[{path: a, format: vllm}, {path: a, format: vllm}]",
            '[1].path: "a" is given twice; keep one of them',
        ),
    ],
)
def test_a_mistake_is_told_with_its_mend(logs: str, message: str) -> None:
    """Exactly so, after the path of the target."""
    assert faults(logs)[0] == message


def test_everything_at_once_is_read() -> None:
    """Into what the tail is given."""
    logs = (
        "[{path: '/a/*.log', format: envoy, fields: {prompt_tokens: [x.y, z], status: code}, only: {host: [a, 1]}, "
        "tenant_field: who, tenant_hash: true, start: beginning, time_zone: UTC}]"
    )
    config = read_config(f"targets:\n- url: http://a\n  logs: {logs}\n".encode())
    (source,) = log_sources(config)["a:80"]
    fields = source.format.fields
    assert fields.paths == {
        "prompt_tokens": (("x", "y"), ("x.y",), ("z",)),
        "status": (("code",),),
        "tenant": (("who",),),
    }
    assert fields.only == {("host",): frozenset({"a", "1"})}
    assert (source.from_beginning, source.utc_offset(0.0)) == (True, 0.0)
    assert source.format.tenant("x") != "x"


def test_a_tenant_key_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """So is an empty one; the message names the file."""
    key = tmp_path / "key"
    log = f"{{path: a, format: envoy, tenant_field: who, tenant_hash: true, tenant_key_file: {key}}}"
    text = f"targets:\n- url: http://a\n  logs: [{log}]\n"
    config = read_config(text.encode())
    with pytest.raises(ConfigError, match=r"cannot read .*key: No such file"):
        log_sources(config)
    key.write_text("\n")
    with pytest.raises(ConfigError, match="is empty; put a random key in it"):
        log_sources(config)


def test_the_page_names_every_format_field_and_result() -> None:
    """With the meaning that the code gives each result."""
    table = "".join(f"| `{result}` | {meaning} |\n" for result, meaning in LINE_RESULTS.items())
    assert f"|---|---|\n{table}<!-- /results -->" in PAGE
    assert [name for name in (*FORMATS, *QUANTITIES) if f"`{name}`" not in PAGE] == []
