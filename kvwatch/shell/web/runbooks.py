"""The alerts' runbooks as they come with the package: what ``runbook_url`` leads to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from aiohttp import web

SUFFIX = ".md"


def runbooks() -> dict[str, str]:
    """Markdown by the alert's name; empty where the package came without them."""
    folder = files("kvwatch") / "runbooks"
    if not folder.is_dir():
        return {}
    pages = sorted((page for page in folder.iterdir() if page.name.endswith(SUFFIX)), key=lambda page: page.name)
    return {page.name.removesuffix(SUFFIX): page.read_text(encoding="utf-8") for page in pages}


def runbook_route(texts: Mapping[str, str]) -> web.RouteDef:
    """GET /runbooks/ALERT.md, or without the suffix: the text, from memory, so that no path is ever opened."""

    async def runbook(request: web.Request) -> web.Response:
        text = texts.get(request.match_info["name"].removesuffix(SUFFIX))
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    return web.get("/runbooks/{name}", runbook)
