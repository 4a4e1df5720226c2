"""How a port is guarded is read again when its files change, and only then."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from kvwatch.shell.access.policy import PolicyFiles, WebPolicy
from kvwatch.shell.access.tls import TlsSettings, tls_context
from tests.shell.conftest import TLS


def replaced(file: Path, name: str) -> None:
    """Put another file in its place, at a stroke."""
    shutil.copy(TLS / name, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def made(cert_file: Path, key_file: Path) -> WebPolicy:
    """A policy of two files."""
    return WebPolicy(tls_context(TlsSettings(cert_file, key_file)), files=(cert_file, key_file))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    found = tmp_path / "tls.crt", tmp_path / "tls.key"
    for file, name in zip(found, ("server.crt", "server.key"), strict=True):
        shutil.copy(TLS / name, file)
    return found


def test_a_change_is_read_and_logged_once(files: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Of each state of the files that cannot be used there is one warning, and then one word that it is over."""
    caplog.set_level("INFO")
    policy = PolicyFiles(partial(made, *files))
    before = policy.get()

    def look() -> list[str]:
        caplog.clear()
        for _ in range(3):
            policy.look()
        return caplog.messages

    assert look() == []
    replaced(files[0], "client.crt")
    assert look() == ["web_files_rejected"]
    files[1].unlink()
    assert look() == ["web_files_rejected"]
    assert policy.get() is before
    replaced(files[1], "client.key")
    assert look() == ["web_files_read"]
    assert policy.get() is not before


def test_other_files_are_followed_when_they_could_be_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A reload that names files which do not fit leaves those before, and their changes, in force."""
    policy = PolicyFiles(partial(made, *files))
    with pytest.raises(OSError, match="mismatch"):
        policy.load(partial(made, TLS / "client.crt", TLS / "server.key"))
    with pytest.raises(FileNotFoundError):
        policy.load(partial(made, tmp_path / "none", tmp_path / "none"))
    assert policy.get().files == files
    policy.load(partial(made, TLS / "client.crt", TLS / "client.key"))
    assert policy.get().files == (TLS / "client.crt", TLS / "client.key")
