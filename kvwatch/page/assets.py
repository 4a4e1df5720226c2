"""The files that a browser gets: read once, from the package itself."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file and what it is."""

    body: bytes
    content_type: str
    charset: str = "utf-8"


def assets() -> dict[str, Asset]:
    """All files by their path on the server; the page itself has the empty one."""
    folder = files("kvwatch.page") / "static"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        kind = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if kind is not None:
            path = "" if file.name == _INDEX else f"page/{file.name}"
            found[path] = Asset(file.read_bytes(), kind)
    return found
