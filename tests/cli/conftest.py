"""Commands that run in the tests' own process."""

from tests.daemon.conftest import restore_logging

__all__ = ["restore_logging"]
