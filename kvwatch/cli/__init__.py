"""The command line: flags in, an exit code out. Each command is a module; all else is done below."""

from kvwatch.cli.main import main, make_parser

__all__ = ["main", "make_parser"]
