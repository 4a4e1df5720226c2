"""Flags of ``kvwatch run``."""

from __future__ import annotations

from pathlib import Path

from kvwatch.cli.flags.common import (
    SubParsers,
    add_log_flags,
    add_target_flags,
    flag,
    listen_address,
    target_url,
)
from kvwatch.config.discovery import shard
from kvwatch.config.reader import duration

_HELP = "watch vLLM servers and serve the estimates on /metrics"


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ". SIGHUP reads the configuration again; SIGTERM and SIGINT end it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--target",
        type=target_url,
        action="append",
        default=[],
        metavar="URL",
        help="address of a vLLM server, such as http://localhost:8000; may be given several times",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration in YAML; flags win over it")
    parser.add_argument(
        "--listen", type=listen_address, metavar="HOST:PORT", help='where to serve (default ":9718", every interface)'
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="FILE",
        help="TLS, client certificates, users and headers of kvwatch's own port, as Prometheus' exporters have them",
    )
    parser.add_argument("--interval", type=flag(duration(0.1, 60.0)), help='time between scrapes (default "1s")')
    parser.add_argument(
        "--state-file",
        type=Path,
        metavar="FILE",
        help="keep what has been learnt over a restart (default: where the system has a place for it; none: nowhere)",
    )
    parser.add_argument(
        "--shard",
        type=flag(shard),
        metavar="INDEX/COUNT",
        help='watch a part of all targets, such as "2/8": the third of eight (default "0/1", all)',
    )
    parser.add_argument(
        "--role",
        choices=("prefill", "decode"),
        help="role of the targets given by --target, where prefill and decode run on servers of their own",
    )
    add_target_flags(parser)
    add_log_flags(parser)
