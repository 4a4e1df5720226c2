"""The parser of the command line, and ``main``."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from kvwatch import __version__
from kvwatch.cli.common import EXIT_FAILURE, EXIT_OK, CommandError
from kvwatch.cli.flags import backtest, check_config, demo, plan, record, replay, run, simulate, status
from kvwatch.config import ConfigError

_EPILOG = """\
exit codes:
  0  done, or ended by SIGTERM or SIGINT
  1  failed: an address is taken, a file cannot be read or written
  2  a flag or the configuration is wrong; of a file every mistake is printed, each on a line of its own
status has more: see kvwatch status --help
"""
COMMANDS = (run, demo, status, record, replay, plan, backtest, simulate, check_config)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps each command and its summary on one line."""

    def __init__(self, prog: str, width: int | None = None) -> None:
        super().__init__(prog, max_help_position=32, width=width)


class _Parser(argparse.ArgumentParser):
    """Says a mistake in a line, without the whole usage before it, and what was perhaps meant."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        unknown = message.removeprefix("unrecognized arguments: ").split("=")[0].split()
        near = difflib.get_close_matches(unknown[0], _flags(self), n=1) if message.startswith("unrecognized") else []
        meant = f"; did you mean {near[0]}?" if near else ""
        self.exit(2, f"{self.prog}: {message}{meant}\n")


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    """The flags of a parser and of its commands."""
    actions = parser._actions
    found = {flag for action in actions for flag in action.option_strings}
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {flag for command in action.choices.values() for flag in _flags(command)}
    return found


def make_parser() -> argparse.ArgumentParser:
    """The whole command line; ``docs/cli.md`` is generated from it."""
    parser = _Parser(
        prog="kvwatch",
        description="How many requests per second a vLLM server can sustain for its traffic now, and how close it is.",
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kvwatch {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def command_module(command: str) -> ModuleType:
    """The module that does a command's work, imported when it is to be done: ``--help`` needs none of it."""
    return import_module(f"kvwatch.cli.{command.replace('-', '_')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Wrong flags end in SystemExit(2), as argparse does it."""
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        code: int | None = command_module(args.command).execute(args)
    except ConfigError as error:
        where = f"{args.config}: " if getattr(args, "config", None) else ""
        for fault in error.faults:
            print(f"{where}{fault}", file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"kvwatch {args.command}: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_OK
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return EXIT_OK if code is None else code
