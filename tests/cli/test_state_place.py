"""What has been learnt is kept where the system has a place for it, unless one says otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kvwatch.cli.state_place import OFF, default_state_file, with_state_file
from kvwatch.config import EstimatesConfig, ValidatedConfig


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/kvwatch", "HOME": "/root"}, "/var/lib/kvwatch/state-9718.json"),
        ({"STATE_DIRECTORY": "/var/lib/kvwatch:/var/lib/other"}, "/var/lib/kvwatch/state-9718.json"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/users/a"}, "/s/kvwatch/state-9718.json"),
        ({"HOME": "/users/a"}, "/users/a/.local/state/kvwatch/state-9718.json"),
        ({"XDG_STATE_HOME": "relative"}, None),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_the_place_is_the_one_that_the_system_has_for_it(environment: dict[str, str], expected: str | None) -> None:
    """The folder that systemd gives the unit, else the user's; a relative path is none, as XDG has it."""
    found = default_state_file(environment, 9718)
    assert (None if found is None else str(found)) == expected


def test_a_port_that_is_any_free_one_has_no_file() -> None:
    """Nothing would find it again."""
    assert default_state_file({"HOME": "/users/a"}, 0) is None


def configured(path: Path | None) -> ValidatedConfig:
    """A configuration that says where the state is, or does not."""
    return replace(ValidatedConfig(), estimates=replace(EstimatesConfig(), state_file=path))


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """State names tenants and engines."""
    config = with_state_file(configured(None), {"XDG_STATE_HOME": str(tmp_path)})
    assert config.estimates.state_file == tmp_path / "kvwatch" / "state-9718.json"
    assert (tmp_path / "kvwatch").stat().st_mode & 0o777 == 0o700


def test_what_is_configured_counts_and_none_switches_it_off(tmp_path: Path) -> None:
    """Whatever the environment says."""
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    assert with_state_file(configured(tmp_path / "own.json"), environment).estimates.state_file == tmp_path / "own.json"
    assert with_state_file(configured(OFF), environment).estimates.state_file is None
    assert not (tmp_path / "kvwatch").exists()


def test_a_place_that_cannot_be_had_is_done_without(tmp_path: Path) -> None:
    """As in a container with a read-only root."""
    (tmp_path / "file").write_text("")
    config = with_state_file(configured(None), {"XDG_STATE_HOME": str(tmp_path / "file")})
    assert config.estimates.state_file is None
