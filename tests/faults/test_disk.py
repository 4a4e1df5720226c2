"""A disk that is full, and a folder that others may write to: the state file before stays, and nobody else reads it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from kvwatch.shell.state.file import Checkpoint, StateFile

OLD, NEW = Checkpoint({"t": [{"engine": "0"}]}), Checkpoint({"t": [{"engine": "1"}]})


def test_a_disk_that_is_full_in_the_middle_of_a_save_costs_that_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old file stays whole, the half of the new one is gone, and the next save works."""
    file = StateFile(tmp_path / "state.json")
    assert file.save(OLD)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not file.save(NEW)
    assert [record.getMessage() for record in caplog.records] == ["state_not_saved"]
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert file.load() == OLD
    assert file.save(NEW)
    assert file.load() == NEW


@pytest.mark.parametrize("left", [False, True], ids=["new", "left by a crash"])
def test_only_its_owner_may_read_the_file(tmp_path: Path, left: bool) -> None:
    """It names tenants; whatever the process's mask, and whatever a crash has left."""
    if left:
        (tmp_path / ".state.json.tmp").write_text("half")
    mask = os.umask(0)
    try:
        assert StateFile(tmp_path / "state.json").save(OLD)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """Who may write to the folder could have kvwatch overwrite any of its files otherwise."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".state.json.tmp").symlink_to(victim)
    file = StateFile(tmp_path / "state.json")
    assert not file.save(OLD)
    assert victim.read_text() == "precious"
    assert file.save(OLD)  # the link is gone
