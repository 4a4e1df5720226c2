"""Follows log files: whatever happens to a file's name, each of its lines is read once.

A path or glob is a source of lines for as long as kvwatch runs, over rotation, truncation and re-creation.
"""

from kvwatch.shell.tail.finder import SourceSettings
from kvwatch.shell.tail.positions import Positions
from kvwatch.shell.tail.tailer import LogTail
from kvwatch.shell.tail.zones import utc_offset

__all__ = ["LogTail", "Positions", "SourceSettings", "utc_offset"]
