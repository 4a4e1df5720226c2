"""What several commands share: how they fail, and the configuration that their flags add up to."""

from __future__ import annotations

import argparse
from dataclasses import replace

from kvwatch.config import ConfigError, Fault, TargetConfig, TargetUrl, ValidatedConfig, load_config, merge_targets

EXIT_OK = 0
EXIT_FAILURE = 1


class CommandError(Exception):
    """A command could not do its work; the message is for the user."""


def target_from_flags(args: argparse.Namespace, url: TargetUrl) -> TargetConfig:
    """One target of the command line."""
    return TargetConfig(
        name=url.host_port,
        base_url=url.base_url,
        max_num_seqs=args.max_num_seqs,
        max_num_batched_tokens=args.max_num_batched_tokens,
        max_model_len=args.max_model_len,
        bearer_token_file=args.bearer_token_file,
        role=getattr(args, "role", None) or "",
    )


def config_from_flags(args: argparse.Namespace) -> ValidatedConfig:
    """The configuration file, if one is given, with the flags laid over it.

    Raises:
        ConfigError: the file has faults, or there is no target.
    """
    config = load_config(args.config) if getattr(args, "config", None) else ValidatedConfig()
    server, scrape, log = config.server, config.scrape, config.log
    if getattr(args, "listen", None) is not None:
        server = replace(server, host=args.listen[0], port=args.listen[1])
    if getattr(args, "web_config_file", None) is not None:
        server = replace(server, web_config_file=args.web_config_file, tls=None)
    if args.interval is not None:
        scrape = replace(scrape, interval_seconds=args.interval)
    if args.timeout is not None:
        scrape = replace(scrape, timeout_seconds=args.timeout)
    if getattr(args, "state_file", None) is not None:
        config = replace(config, estimates=replace(config.estimates, state_file=args.state_file))
    if getattr(args, "shard", None) is not None:
        config = replace(config, discovery=replace(config.discovery, shard=args.shard))
    if args.log_level is not None:
        log = replace(log, level=args.log_level)
    if args.log_format is not None:
        log = replace(log, format=args.log_format)
    targets = merge_targets(config, [target_from_flags(args, url) for url in args.target])
    if not targets and not config.discovery.finds_targets:
        raise ConfigError(
            [Fault("targets", "nothing to watch; give --target URL, or targets or discovery in a file with --config")]
        )
    return replace(config, server=server, scrape=scrape, log=log, targets=targets)
