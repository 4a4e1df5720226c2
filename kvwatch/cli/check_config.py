"""``kvwatch check-config``: every mistake of a configuration file, without starting anything."""

from __future__ import annotations

import argparse

from kvwatch.config import EstimatesConfig, load_config, load_web_config


def execute(args: argparse.Namespace) -> None:
    """Check the file, and the web configuration that it names; faults leave as ConfigError."""
    config = load_config(args.config)
    if config.server.web_config_file is not None:
        load_web_config(config.server.web_config_file)
    count = len(config.targets)
    print(f"{args.config}: valid, {count} target{'' if count == 1 else 's'}")
    if not count and not config.discovery.finds_targets:
        print(f"{args.config}: nothing to watch: kvwatch run needs a --target, or targets or discovery here")
    missing = [label for label in EstimatesConfig().windows_seconds if label not in config.estimates.windows_seconds]
    if missing:
        print(f"{args.config}: without the windows {' and '.join(missing)} no alert on load fires")
