"""One real vLLM for the two stories that ask for the same: starting it takes most of a minute.

The stories that have servers of their own come first, so that none runs beside another.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vllm.model import SMALL
from tests.vllm.server import ServerSettings, VllmServer, vllm_python

SHARED = ServerSettings(SMALL, "small", blocks=384, seats=12)
"""12 seats run out long before 12,256 tokens do, so capacity hardly depends on which lengths are inside."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that share a server last."""
    items.sort(key=lambda item: "shared_server" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """A server that whoever needs it first starts; a story may kill it and start it again, and leaves it running."""
    python = vllm_python()
    if python is None:
        pytest.skip("no real vLLM here: run `make setup-vllm`")
    server = VllmServer(python, SHARED, tmp_path_factory.mktemp("small"))
    try:
        yield server
    finally:
        server.stop()
