"""How kvwatch's own ports are guarded, from files that may change: they are read again when they have."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvwatch.shell.access.passwords import Passwords
from kvwatch.shell.logging import event
from kvwatch.shell.tasks import sleep

CHECK_SECONDS = 5.0
"""Time between two looks at the files. Choice: a user who is shut out has to wait no longer than for a scrape."""
_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Pem:
    """Content of PEM files; ``client_ca`` has the authorities of the certificates that clients must show."""

    key: bytes = field(repr=False)
    chain: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class WebPolicy:
    """TLS, who may read, and headers of every answer; ``files`` are those that it was made of."""

    tls: ssl.SSLContext | None = None
    client_required: bool = False
    """Whether clients must show a certificate."""
    client_names: frozenset[str] = frozenset()
    """Alternative names of which a client's certificate must have one; empty for any certificate or none."""
    passwords: Passwords = field(default_factory=lambda: Passwords({}))
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    pem: Pem | None = None
    """What TLS is made of, for ports that are not served by Python's."""


class PolicyFiles:
    """The policy in force: the newest that could be made of the files.

    ``make`` reads the files; it raises OSError or ValueError, whose text says what is wrong, for those it cannot use.
    """

    def __init__(self, make: Callable[[], WebPolicy]) -> None:
        self._make = make
        self.current = make()
        self._stamps = _stamps(self.current.files)

    def get(self) -> WebPolicy:
        """The policy in force."""
        return self.current

    def load(self, make: Callable[[], WebPolicy]) -> None:
        """Make the policy in another way from now on.

        Raises:
            OSError, ValueError: it cannot be made, and what was before stays.
        """
        current = make()
        self._make, self.current, self._stamps = make, current, _stamps(current.files)

    def look(self) -> None:
        """Read the files again where they have changed. Of two that do not fit together the second is yet to come."""
        stamps = _stamps(self.current.files)
        if stamps == self._stamps:
            return
        try:
            self.current = self._make()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            event(
                logging.WARNING,
                "web_files_rejected",
                files=", ".join(map(str, self.current.files)),
                why=why,
                effect="what was read before stays in force",
            )
            self._stamps = stamps  # logged once
        else:
            self._stamps = _stamps(self.current.files)
            event(logging.INFO, "web_files_read", files=", ".join(map(str, self.current.files)))

    async def keep_current(self) -> None:
        """Look at the files for ever."""
        while True:
            await sleep(CHECK_SECONDS)
            self.look()


def _stamps(files: tuple[Path, ...]) -> tuple[_Stamp, ...]:
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
