"""kvwatch's own certificate, from files that rotate: they are read again when they have changed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from kvwatch.shell.logging import event
from kvwatch.shell.tasks import sleep

CHECK_SECONDS = 30.0
"""Time between two looks at the files; new ones are written long before the old certificate ends."""
_Stamp = tuple[int, int, int] | None


class OwnCertificate:
    """The TLS settings of a port, with the certificate as it was last read whole.

    Raises:
        OSError: the files cannot be read or do not fit together.
    """

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._files = cert_file, key_file
        self._stamps = _stamps(*self._files)
        self.context = _context(*self._files)

    def load(self, cert_file: Path, key_file: Path) -> None:
        """Take these files from now on; connections that there are keep what they have.

        Raises:
            OSError: they cannot be used, and what was before stays.
        """
        stamps = _stamps(cert_file, key_file)
        _context(cert_file, key_file)  # tried on a context of its own: a failed load leaves one half changed
        self.context.load_cert_chain(cert_file, key_file)
        self._files, self._stamps = (cert_file, key_file), stamps

    def look(self) -> None:
        """Read the files again where they have changed. Of two that do not fit together the second is yet to come."""
        stamps = _stamps(*self._files)
        if stamps == self._stamps:
            return
        try:
            self.load(*self._files)
        except OSError as error:
            self._stamps = stamps  # told once
            why = error.strerror or str(error)
            event(logging.WARNING, "certificate_rejected", file=self._files[0], why=why, effect="the one before stays")
        else:
            event(logging.INFO, "certificate_read", file=self._files[0])

    async def keep_current(self) -> None:
        """Look at the files for ever."""
        while True:
            await sleep(CHECK_SECONDS)
            self.look()


def _context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)
    return context


def _stamps(*files: Path) -> tuple[_Stamp, ...]:
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
