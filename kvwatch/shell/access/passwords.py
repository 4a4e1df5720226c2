"""HTTP basic authentication against bcrypt hashes (RFC 7617), at a cost that a flood of guesses cannot raise."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

from kvwatch.shell.threads import in_daemon_thread

_WAITING_CHECKS = 16
"""Checks under way or waiting, of which one runs at a time. Choice: a second of CPU in all at the usual cost of 10."""
_KNOWN_LOGINS = 100
"""Right pairs of name and password that are remembered. Choice: more than there are users of an exporter."""
_SIGNIFICANT_BYTES = 72
"""Of a password: bcrypt reads no more. Definition: the algorithm's."""


class BusyError(Exception):
    """More passwords are being checked than is allowed at a time."""


class Passwords:
    """Whether an Authorization header is that of a user. ``users`` has a bcrypt hash for each name."""

    def __init__(self, users: Mapping[str, bytes]) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        """Marks of right pairs, the one that was used last at the end: bcrypt is slow on purpose, scrapes are many."""
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        cost = max((int(hashed[4:6]) for hashed in users.values()), default=4)
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(cost)) if users else b""
        """What the passwords of unknown users are held against, so that time does not tell who is known."""

    async def right(self, authorization: str | None) -> bool:
        """Whether the header is right; every one is where there are no users.

        Raises:
            BusyError: too many others are being checked.
        """
        if not self._users:
            return True
        shown = _login(authorization)
        if shown is None:
            return False
        name, password = shown
        hashed = self._users.get(name, self._nobody)
        mark = hmac.digest(self._key, hashlib.sha256(name.encode()).digest() + password + hashed, "sha256")
        if mark in self._known:
            self._known.move_to_end(mark)
            return True
        if self._waiting >= _WAITING_CHECKS:
            raise BusyError
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                right = await in_daemon_thread(lambda: bcrypt.checkpw(password, hashed), "password")
        finally:
            self._waiting -= 1
        if not right or name not in self._users:
            return False
        self._known[mark] = None
        while len(self._known) > _KNOWN_LOGINS:
            self._known.popitem(last=False)
        return True


def _login(authorization: str | None) -> tuple[str, bytes] | None:
    """Name and password of a header; ``None`` for one that has none."""
    kind, _, encoded = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password[:_SIGNIFICANT_BYTES]) if colon and b"\0" not in password else None
    except (NotBase64, ValueError):
        return None
