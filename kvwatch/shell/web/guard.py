"""Who may read kvwatch's own port: asked of every request but those of probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from aiohttp import web

from kvwatch.shell.access.passwords import BusyError
from kvwatch.shell.access.policy import WebPolicy

OPEN_PATHS = ("/-/healthy", "/-/ready")
"""They say one word, to a kubelet that has no password."""


class Guard:
    """Lets requests through that the policy in force allows; ``open_below`` are paths that look after themselves."""

    def __init__(self, policy: Callable[[], WebPolicy], open_below: Collection[str] = ()) -> None:
        self._policy = policy
        self._open_below = tuple(open_below)

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer, or why there is none."""
        policy = self._policy()
        if not _shows_one_of(request, policy.client_names):
            return web.Response(text="403 no such client\n", status=403)
        if request.path in OPEN_PATHS or any(
            request.path == path or request.path.startswith(f"{path}/") for path in self._open_below
        ):
            return await handler(request)
        try:
            right = await policy.passwords.right(request.headers.get("Authorization"))
        except BusyError:
            return web.Response(text="503 too many logins\n", status=503, headers={"Retry-After": "1"})
        if not right:
            headers = {"WWW-Authenticate": 'Basic realm="kvwatch", charset="UTF-8"'}
            return web.Response(text="401 Unauthorized\n", status=401, headers=headers)
        return await handler(request)


def _shows_one_of(request: web.Request, names: Collection[str]) -> bool:
    """Whether the client's certificate has one of the alternative names; every one does where none is given."""
    if not names:
        return True
    shown: Mapping[str, Sequence[tuple[str, str]]] = request.get_extra_info("peercert") or {}
    return any(name in names for _kind, name in shown.get("subjectAltName", ()))
