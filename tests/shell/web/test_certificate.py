"""kvwatch's own certificate is read again when its files change, and only then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kvwatch.shell.web.certificate import OwnCertificate
from tests.shell.conftest import TLS


def replaced(file: Path, name: str) -> None:
    """Put another file in its place, at a stroke."""
    shutil.copy(TLS / name, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    found = tmp_path / "tls.crt", tmp_path / "tls.key"
    for file, name in zip(found, ("server.crt", "server.key"), strict=True):
        shutil.copy(TLS / name, file)
    return found


def test_a_change_is_read_and_told_once(files: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Of each state of the files that cannot be used there is one warning, and then one word that it is over."""
    caplog.set_level("INFO")
    certificate = OwnCertificate(*files)
    context = certificate.context

    def look() -> list[str]:
        caplog.clear()
        for _ in range(3):
            certificate.look()
        return caplog.messages

    assert look() == []
    replaced(files[0], "client.crt")
    assert look() == ["certificate_rejected"]
    files[1].unlink()
    assert look() == ["certificate_rejected"]
    replaced(files[1], "client.key")
    assert look() == ["certificate_read"]
    assert certificate.context is context


def test_other_files_are_followed_when_they_could_be_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A reload that names files which do not fit leaves those before, and their changes, in force."""
    certificate = OwnCertificate(*files)
    with pytest.raises(OSError, match="mismatch"):
        certificate.load(TLS / "client.crt", TLS / "server.key")
    with pytest.raises(FileNotFoundError):
        certificate.load(tmp_path / "none", tmp_path / "none")
    assert certificate._files == files
    certificate.load(TLS / "client.crt", TLS / "client.key")
    assert certificate._files == (TLS / "client.crt", TLS / "client.key")
