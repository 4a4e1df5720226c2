"""Log lines in, facts out: vLLM's own log and the request logs of gateways, read without I/O and without a clock."""

from kvwatch.parse.logs.fields import PRESETS, QUANTITIES, FieldMap, spelled
from kvwatch.parse.logs.moments import LocalTime
from kvwatch.parse.logs.reader import FORMATS, LogFormat, LogReader
from kvwatch.parse.logs.results import LINE_RESULTS, REJECTIONS, LogFact, Reading, Sample

__all__ = [
    "FORMATS",
    "LINE_RESULTS",
    "PRESETS",
    "QUANTITIES",
    "REJECTIONS",
    "FieldMap",
    "LocalTime",
    "LogFact",
    "LogFormat",
    "LogReader",
    "Reading",
    "Sample",
    "spelled",
]
