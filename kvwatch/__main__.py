"""Where the process begins: ``kvwatch`` and ``python -m kvwatch``.

Signals are taken before anything that takes time is imported: the first process of a container, which has no default
for SIGTERM, would not hear it otherwise, and SIGHUP would end a daemon that is about to read its configuration anyway.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _end)
    if arguments[:1] == ["run"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from kvwatch.cli import main as command_line  # noqa: PLC0415 - see above

    return command_line(arguments)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End as the documentation says, wherever the process is; nothing has been begun that would need an end."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
