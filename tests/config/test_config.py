"""A configuration is taken whole and checked, or refused with every mistake named exactly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.config import BasicAuth, ConfigError, ServerTls, TargetConfig, TargetTls, load_config, read_config
from kvwatch.config.docs import config_page
from kvwatch.config.document import MAX_FILE_BYTES
from kvwatch.config.model import EstimatesConfig, ScrapeConfig, TracesConfig, ValidatedConfig
from kvwatch.config.option import Option, Section
from kvwatch.config.options import ROOT
from kvwatch.core.options import CoreOptions

ROOT_FOLDER = Path(__file__).parents[2]
DATA = ROOT_FOLDER / "tests" / "data" / "config"
BAD = sorted((DATA / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_mistake_has_one_exact_message(path: Path) -> None:
    """The first line of each bad file holds the messages that it must give, in order."""
    expected = path.read_text().splitlines()[0].removeprefix("# ").split(" | ")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert [str(fault) for fault in caught.value.faults] == expected


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_message_shows_a_secret(path: Path) -> None:
    """The bad files spell every secret "hunter2"; no message quotes it."""
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "hunter2" not in str(caught.value) + repr(caught.value.faults)


@pytest.mark.parametrize(
    ("server", "grpc"), [("127.0.0.1:9718", "127.0.0.1:4317"), ("127.0.0.1:9718", "[::1]:9718"), (":0", ":0")]
)
def test_grpc_may_have_another_port_or_another_address(server: str, grpc: str) -> None:
    """Only an address that server.listen takes as well is refused; port 0 is another one each time."""
    content = f'server: {{listen: "{server}"}}\ntraces: {{enabled: true, grpc_listen: "{grpc}"}}'
    assert read_config(content.encode()).traces.grpc is not None


def test_an_empty_file_is_the_defaults() -> None:
    """A file without a key gives what runs without a file."""
    assert load_config(DATA / "good" / "empty.yaml") == ValidatedConfig()


def test_a_sidecar_needs_one_line() -> None:
    """A target is named host:port, and all else has a default."""
    config = load_config(DATA / "good" / "sidecar.yaml")
    assert config.targets == (TargetConfig(name="127.0.0.1:8000", base_url="http://127.0.0.1:8000"),)
    assert (config.server.host, config.server.port) == ("", 9718)


def test_every_key_reaches_the_validated_config() -> None:
    """Anchors, prefixes, credentials and durations arrive as they were meant."""
    config = load_config(DATA / "good" / "fleet.yaml")
    assert (config.server.host, config.server.port) == ("::1", 9719)
    assert config.server.tls == ServerTls(Path("/etc/kvwatch/tls.crt"), Path("/etc/kvwatch/tls.key"))
    assert config.scrape == ScrapeConfig(0.5, 1.5, 1048576, 3600.0)
    assert config.estimates == EstimatesConfig({"30s": 30.0, "2m": 120.0, "10m": 600.0}, 0.10, 0.7, 300.0, 240.0, 50)
    assert config.traces == TracesConfig(
        True,
        1048576,
        500,
        Path("/run/secrets/traces"),
        "service.name",
        "enduser.id",
        True,
        Path("/run/secrets/tenant-key"),
        "gen_ai.request.model",
        None,
        ("::1", 4317),
    )
    assert (config.log.level, config.log.format) == ("debug", "json")
    eu, us, local = config.targets
    tls = TargetTls(Path("/etc/ca.pem"), Path("/etc/client.crt"), Path("/etc/client.key"))
    assert eu == TargetConfig(
        "eu",
        "https://vllm.example.com:443/eu",
        "/metrics",
        256,
        8192,
        32768,
        0.0625,
        Path("/run/secrets/token"),
        None,
        tls,
    )
    assert (us.name, us.base_url, us.max_num_seqs) == ("us", "https://vllm.example.com:443/us", 256)
    assert (local.name, local.base_url, local.metrics_path) == ("[::1]:80", "http://[::1]:80", "/prometheus")
    assert local.basic_auth == BasicAuth("me", Path("/run/secrets/password"))


def test_the_example_shows_every_key() -> None:
    """kvwatch.example.yaml is valid, holds the defaults, and names every key of the table."""
    path = ROOT_FOLDER / "kvwatch.example.yaml"
    config = load_config(path)
    assert (config.server, config.scrape, config.estimates) == (
        ValidatedConfig().server,
        ValidatedConfig().scrape,
        ValidatedConfig().estimates,
    )
    text = path.read_text()

    def keys(section: Section) -> list[str]:
        return [
            key
            for entry in section.content.values()
            for key in [entry.key, *(keys(entry) if isinstance(entry, Section) else [])]
        ]

    assert [key for key in keys(ROOT) if not re.search(rf"^[ #-]*{key}:", text, flags=re.MULTILINE)] == []


def test_defaults_are_the_core_s_defaults() -> None:
    """An empty configuration and a core without options estimate the same."""
    core, ours = CoreOptions(), EstimatesConfig()
    assert dict(core.windows_seconds) == dict(ours.windows_seconds)
    assert (core.trim_ratio, core.target_utilization) == (ours.trim_ratio, ours.target_utilization)
    assert core.demand_window_seconds == ours.demand_window_seconds
    assert core.top_tenants == ours.top_tenants
    assert core.scrape_interval_seconds == ScrapeConfig().interval_seconds


def test_documented_defaults_are_the_real_ones() -> None:
    """Writing every documented default into a file changes nothing."""

    def lines(section: Section, indent: str) -> list[str]:
        found = []
        for entry in section.content.values():
            if isinstance(entry, Option):
                found += [f"{indent}{entry.key}: {entry.default}"] if entry.default else []
            elif not entry.is_list and entry.key != "tls":
                found += [f"{indent}{entry.key}:", *lines(entry, indent + "  ")]
        return found

    assert read_config("\n".join(lines(ROOT, "")).encode()) == ValidatedConfig()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is a fault, not a traceback."""
    with pytest.raises(ConfigError, match="cannot read the file: No such file or directory"):
        load_config(tmp_path / "none.yaml")


def test_a_huge_file_is_refused() -> None:
    """A file over the limit is not parsed."""
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        read_config(b"#" * (MAX_FILE_BYTES + 1))


def test_a_binary_file_is_refused() -> None:
    """Bytes that are no text are named by their place."""
    with pytest.raises(ConfigError, match="byte 1 is not UTF-8"):
        read_config(b"a\xff")
    with pytest.raises(ConfigError, match="character 1 is not allowed in YAML"):
        read_config(b"a\x00b")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="atrgesul:- {}[]&*!<>|\n\"'#0.12", max_size=80).map(str.encode))
def test_no_content_raises_anything_but_a_config_error(content: bytes) -> None:
    """Whatever a file holds, it is a configuration or a list of faults."""
    try:
        read_config(content)
    except ConfigError as error:
        assert error.faults


def test_the_page_is_current() -> None:
    """docs/config.md is what the table of options says."""
    assert (ROOT_FOLDER / "docs" / "config.md").read_text(encoding="utf-8") == config_page()
