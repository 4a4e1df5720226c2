"""What every source speaks: targets that were found, and why nothing was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kvwatch.facts import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A target: where it is, and what the source says of it.

    ``address`` is host:port, an IPv6 host in brackets; ``name`` is the value of the label ``target``. ``labels`` are
    those of :data:`LABELS` only. ``settings`` are what the source shows of the server's own.
    """

    address: str
    name: str
    labels: tuple[tuple[str, str], ...] = field(default=())
    settings: Settings | None = None


LABELS = (
    "__scheme__",
    "__metrics_path__",
    "role",
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
)
"""What a source may say of a target, spelled as Prometheus's service discovery spells labels."""

Failed = Callable[[str], None]


class Deliver(Protocol):
    """Takes what a source has found."""

    def __call__(self, found: tuple[Found, ...], *, whole: bool = True, left_out: int = 0) -> None:
        """Take all targets: ``whole`` where nothing failed, ``left_out`` how many more there are than are read."""
        ...


class SourceError(Exception):
    """A source that could not be read; the message says why, in words that hold no secret."""


class Source(Protocol):
    """Finds targets for ever."""

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Hand all targets to ``deliver`` whenever they may have changed; ``failed`` gets why they are not known."""
        ...


def join(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
