"""Flags of ``kvwatch status``."""

from __future__ import annotations

import argparse

from kvwatch.cli.flags.common import SubParsers, add_target_flags, flag, target_url
from kvwatch.config import ServerConfig
from kvwatch.config.reader import duration

_HELP = "say in a line an engine how it is: of a running kvwatch, or of a vLLM itself"
_EPILOG = """\
exit codes, the worst of all engines:
  0  no engine needs anybody: idle, fine, warming up, draining
  1  failed: nothing that answers at a URL, or neither a kvwatch nor a vLLM
  2  a flag is wrong
  3  an engine comes near its limit, or requests wait in a queue that stands
  4  an engine is at its limit, overloaded or evicting
  5  an engine hangs, or a server that kvwatch watches does not answer
  6  an engine cannot be judged: a metric that the estimates need is missing
"""
DEFAULT_URL = f"http://localhost:{ServerConfig().port}"
WATCH_SECONDS = 10.0
"""How long a vLLM is watched [s]. Choice: as long as one waits at a prompt; some dozen scrapes at twice a second."""


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "status",
        help=_HELP,
        description="One line for each engine, the one that needs somebody first. Asked of a running kvwatch the answer"
        "\nis there at once and is the page's; a vLLM is watched for some seconds, which show less.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "urls",
        type=target_url,
        nargs="*",
        metavar="URL",
        help=f'address of a kvwatch or of a vLLM; several may be given (default "{DEFAULT_URL}")',
    )
    parser.add_argument("--watch", action="store_true", help="say it again and again, until a signal")
    parser.add_argument("--json", action="store_true", help="JSON, an object for each look, for scripts")
    parser.add_argument(
        "--duration",
        type=flag(duration(3.0, 3600.0)),
        default=WATCH_SECONDS,
        help=f'how long to watch a vLLM before saying something (default "{WATCH_SECONDS:g}s")',
    )
    add_target_flags(parser)
