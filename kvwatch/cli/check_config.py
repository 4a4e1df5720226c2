"""``kvwatch check-config``: every mistake of a configuration file, without starting anything."""

from __future__ import annotations

import argparse

from kvwatch.config import load_config, load_web_config


def execute(args: argparse.Namespace) -> None:
    """Check the file, and the web configuration that it names; faults leave as ConfigError."""
    config = load_config(args.config)
    if config.server.web_config_file is not None:
        load_web_config(config.server.web_config_file)
    count = len(config.targets)
    print(f"{args.config}: valid, {count} target{'' if count == 1 else 's'}")
