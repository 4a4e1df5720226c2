"""``kvwatch check-config``: every mistake of a configuration file, without starting anything."""

from __future__ import annotations

import argparse

from kvwatch.config import load_config


def execute(args: argparse.Namespace) -> None:
    """Check the file; faults leave as ConfigError."""
    config = load_config(args.config)
    count = len(config.targets)
    print(f"{args.config}: valid, {count} target{'' if count == 1 else 's'}")
