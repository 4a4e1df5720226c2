"""What the flags of several commands share: how a value is read, and flags about targets and logging."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from kvwatch.config import TargetUrl, parse_listen, parse_target_url
from kvwatch.config.reader import Faults, Reader, duration, integer

SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


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
        help="vLLM's --max-num-seqs, where kvwatch does not find it by itself (docs/settings.md)",
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
