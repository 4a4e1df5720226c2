"""Where the state is kept if nothing is configured: in the folder that the system has for it, or nowhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kvwatch.config import ValidatedConfig
from kvwatch.shell.logging import event

OFF = Path("none")
"""What to write for a state file to have none."""


def default_state_file(environment: Mapping[str, str], port: int) -> Path | None:
    """``$STATE_DIRECTORY`` of systemd, else ``kvwatch`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.

    The name holds the port, since of two that run at once each has its own. ``None`` where there is no place, or where
    the port is any free one and nothing would find the file again.
    """
    if port == 0:
        return None
    own = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if own:
        return Path(own) / f"state-{port}.json"
    home = environment.get("HOME", "")
    base = Path(environment.get("XDG_STATE_HOME") or (f"{home}/.local/state" if Path(home).is_absolute() else ""))
    return base / "kvwatch" / f"state-{port}.json" if base.is_absolute() else None


def with_state_file(config: ValidatedConfig, environment: Mapping[str, str]) -> ValidatedConfig:
    """The configuration with the place of its state: what it says, else the default one, whose folder is made."""
    path = config.estimates.state_file
    if path is None:
        path = default_state_file(environment, config.server.port)
        if path is not None and not _made(path.parent):
            path = None
    return replace(config, estimates=replace(config.estimates, state_file=None if path == OFF else path))


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        event(logging.INFO, "state_not_kept", folder=str(folder), reason=error.strerror or str(error))
        return False
    return True
