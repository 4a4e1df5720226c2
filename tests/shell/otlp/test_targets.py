"""Which target a span belongs to: by attribute, by being alone, by address, and by nothing else."""

from __future__ import annotations

import asyncio

import pytest

from kvwatch.shell.otlp.targets import TargetTable, plain_address


def table(**hosts: str) -> TargetTable:
    """A table of targets by name."""
    made = TargetTable()
    made.follow(hosts)
    return made


def test_the_only_target_gets_everything() -> None:
    """Whoever sends it."""
    assert table(eu="10.0.0.1").target_of(None, "192.168.7.7") == "eu"
    assert table(eu="vllm").target_of(None, None) == "eu"


def test_an_attribute_wins_and_binds() -> None:
    """The name that it gives is the target, or there is none: not even the only one."""
    two = table(eu="10.0.0.1", us="10.0.0.2")
    assert two.target_of("us", "10.0.0.1") == "us"
    assert two.target_of("asia", "10.0.0.1") is None
    assert table(eu="10.0.0.1").target_of("asia", "10.0.0.1") is None


@pytest.mark.parametrize(
    ("peer", "target"),
    [
        ("10.0.0.1", "eu"),
        ("::ffff:10.0.0.2", "us"),
        ("2001:db8:0::5", "six"),
        ("10.0.0.3", None),
        ("10.0.0.4", None),
        ("fe80::1%eth0", None),
        ("not an address", None),
        (None, None),
    ],
)
def test_an_address_tells_where_one_target_has_it(peer: str | None, target: str | None) -> None:
    """In any spelling; where two targets share it, it tells nothing."""
    hosts = {"eu": "10.0.0.1", "us": "10.0.0.2", "a": "10.0.0.3", "b": "10.0.0.3", "six": "2001:db8::5"}
    assert table(**hosts).target_of(None, peer) == target


def test_without_targets_there_is_none() -> None:
    """As after a reload that took the last away."""
    assert table().target_of(None, "10.0.0.1") is None


def test_targets_follow_the_configuration() -> None:
    """Those that go are forgotten, with their addresses."""
    made = table(eu="10.0.0.1", us="10.0.0.2")
    made.follow({"us": "10.0.0.2", "asia": "10.0.0.3"})
    assert made.target_of(None, "10.0.0.1") is None
    assert made.target_of(None, "10.0.0.3") == "asia"
    assert "eu" not in made


async def test_names_of_hosts_are_looked_up() -> None:
    """By the system's own resolver; a name that there is none of takes nothing from the others."""
    made = table(here="localhost", gone="no-such-host.invalid", eu="10.0.0.1")
    looking = asyncio.create_task(made.keep_looking_up())
    try:
        async with asyncio.timeout(30):
            while made.target_of(None, "127.0.0.1") is None:  # noqa: ASYNC110 - the resolver answers in its own time
                await asyncio.sleep(0.01)
    finally:
        looking.cancel()
    assert made.target_of(None, "127.0.0.1") == "here"
    assert made.target_of(None, "10.0.0.1") == "eu"


@pytest.mark.parametrize(
    ("host", "address"),
    [("10.0.0.1", "10.0.0.1"), ("::FFFF:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("vllm", None), ("", None)],
)
def test_addresses_have_one_spelling(host: str, address: str | None) -> None:
    """So that they can be compared as text."""
    assert plain_address(host) == address
