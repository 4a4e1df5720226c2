"""Passwords of kvwatch's own port: who is let in, and what guesses cost."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import bcrypt
import pytest

from kvwatch.shell.access import passwords
from kvwatch.shell.access.passwords import BusyError, Passwords

USERS = {"prometheus": bcrypt.hashpw(b"scrape:me", bcrypt.gensalt(4)), "é": bcrypt.hashpw(b"", bcrypt.gensalt(4))}


def basic(name: str, password: bytes) -> str:
    """The header of a client."""
    return "Basic " + b64encode(name.encode() + b":" + password).decode()


async def test_the_right_password_lets_in_and_nothing_else_does() -> None:
    """A password may hold a colon and may be empty; names are not."""
    guard = Passwords(USERS)
    assert await guard.right(basic("prometheus", b"scrape:me"))
    assert await guard.right("basic " + basic("é", b"").removeprefix("Basic "))
    wrong = [
        None,
        "",
        "Bearer scrape:me",
        "Basic",
        "Basic !!!",
        "Basic " + b64encode(b"prometheus").decode(),
        "Basic " + b64encode(b"\xff:x").decode(),
        basic("prometheus", b"scrape"),
        basic("prometheus", b""),
        basic("Prometheus", b"scrape:me"),
        basic("nobody", b"scrape:me"),
        basic("prometheus", b"scrape:me\0"),
    ]
    for header in wrong:
        assert not await guard.right(header), header


async def test_hashes_of_other_tools_and_long_passwords_are_those_of_bcrypt() -> None:
    """Htpasswd writes $2y$; bcrypt reads 72 bytes of a password, and so does every other exporter."""
    htpasswd = bcrypt.hashpw(b"test", bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$")
    guard = Passwords({"alice": htpasswd, "bob": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))})
    assert await guard.right(basic("alice", b"test"))
    assert await guard.right(basic("bob", b"x" * 100))
    assert not await guard.right(basic("bob", b"x" * 71))


async def test_without_users_everyone_is_let_in() -> None:
    """As a file without basic_auth_users says."""
    assert await Passwords({}).right(None)


async def test_a_login_is_checked_once_and_a_wrong_one_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape each second costs no bcrypt each second; a guess is dear however often it is made."""
    checked: list[bytes] = []
    real = bcrypt.checkpw
    monkeypatch.setattr(passwords.bcrypt, "checkpw", lambda p, h: checked.append(p) or real(p, h))
    guard = Passwords(USERS)
    for _ in range(3):
        assert await guard.right(basic("prometheus", b"scrape:me"))
    assert checked == [b"scrape:me"]
    for name in ("prometheus", "nobody"):
        for _ in range(2):
            assert not await guard.right(basic(name, b"guess"))
    assert checked == [b"scrape:me"] + 4 * [b"guess"]


async def test_a_flood_of_guesses_is_refused_and_those_who_are_known_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most sixteen are under way, one after the other; what is known needs no turn."""
    guard = Passwords(USERS)
    assert await guard.right(basic("prometheus", b"scrape:me"))
    go_on = asyncio.Event()

    async def waits(_work: object, _name: str) -> bool:
        await go_on.wait()
        return False

    monkeypatch.setattr(passwords, "in_daemon_thread", waits)
    flood = [asyncio.ensure_future(guard.right(basic("prometheus", b"guess"))) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await guard.right(basic("prometheus", b"one more"))
    assert await guard.right(basic("prometheus", b"scrape:me"))
    go_on.set()
    assert await asyncio.gather(*flood) == 16 * [False]
    assert not await guard.right(basic("prometheus", b"one more"))
