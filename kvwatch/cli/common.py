"""What several commands share: flags that name targets, and the configuration they add up to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from kvwatch.config import (
    ConfigError,
    Fault,
    TargetConfig,
    TargetUrl,
    ValidatedConfig,
    load_config,
    merge_targets,
    parse_listen,
    parse_target_url,
)
from kvwatch.config.reader import Faults, Reader, duration, integer

EXIT_OK = 0
EXIT_FAILURE = 1

SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class CommandError(Exception):
    """A command could not do its work; the message is for the user."""


def flag(read: Reader[object]) -> Callable[[str], object]:
    """An argparse type from a reader of the configuration, so that both give the same message."""

    def parse(text: str) -> object:
        faults: Faults = []
        value = read(_plain(text), "", faults)
        if faults:
            raise argparse.ArgumentTypeError(faults[0].message)
        return value

    return parse


def _plain(text: str) -> object:
    """A flag's text as YAML would read it: a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def target_url(text: str) -> TargetUrl:
    """An argparse type for the URL of a target."""
    try:
        return parse_target_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def listen_address(text: str) -> tuple[str, int]:
    """An argparse type for an address to listen on."""
    try:
        return parse_listen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_target_flags(parser: argparse.ArgumentParser) -> None:
    """Flags about the targets that ``--target`` names."""
    tokens = flag(integer(1, 2**31 - 1))
    group = parser.add_argument_group("about the targets given by --target")
    group.add_argument(
        "--max-num-seqs",
        type=tokens,
        metavar="N",
        help="vLLM's --max-num-seqs, where its API does not tell; without it the service rate is an upper bound",
    )
    group.add_argument("--max-num-batched-tokens", type=tokens, metavar="N", help="vLLM's --max-num-batched-tokens")
    group.add_argument("--max-model-len", type=tokens, metavar="N", help="vLLM's --max-model-len")
    group.add_argument(
        "--bearer-token-file", type=Path, metavar="FILE", help="file that holds a bearer token for the target"
    )
    group.add_argument("--timeout", type=flag(duration(0.1, 60.0)), help='longest time for a scrape (default "5s")')


def add_log_flags(parser: argparse.ArgumentParser) -> None:
    """Flags about logging."""
    group = parser.add_argument_group("logging, on standard error")
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default info")
    group.add_argument("--log-format", choices=("plain", "json"), help="default plain")


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
