"""Flags of ``kvwatch plan``."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvwatch.cli.flags.common import SubParsers, flag, target_url
from kvwatch.config.reader import duration, integer, number

_HELP = "how many replicas for a load, of what, set how"
_DESCRIPTION = """\
How many replicas for a load, of what, set how. The engine is one that was recorded (kvwatch record), one that runs now,
one that a kvwatch has kept in its state file, or a model on a GPU by their data sheets; the traffic is what was seen
there, that of a trace, or a distribution. The answer says what is measured and what is only assumed.
"""


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plan",
        help=_HELP,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    engine = parser.add_argument_group("the engine, one of the four")
    engine.add_argument("--recording", type=Path, metavar="PATH", help="a recording of a server under its usual load")
    engine.add_argument("--url", type=target_url, metavar="URL", help="a server that runs now, under its load")
    engine.add_argument("--state", type=Path, metavar="FILE", help="what a kvwatch has kept: its estimates.state_file")
    engine.add_argument("--model", type=Path, metavar="FILE", help="the model's config.json, with --gpu")
    engine.add_argument("--gpu", metavar="NAME", help="a GPU, such as h100; an unknown name lists those that are known")
    engine.add_argument("--gpus", type=flag(integer(1, 1024)), default=1, help="GPUs that share the model (default 1)")
    engine.add_argument("--weight-bytes", type=flag(number(0.25, 8.0)), default=2.0, help="of a weight (default 2)")
    engine.add_argument("--kv-bytes", type=flag(number(0.25, 8.0)), default=2.0, help="of a key or value (default 2)")
    engine.add_argument("--gpu-memory-utilization", type=flag(number(0.05, 1.0)), default=0.9, help="default 0.9")
    engine.add_argument(
        "--max-num-seqs",
        type=flag(integer(1, 1_000_000)),
        help="with --gpu, default 256; with --state what is in force",
    )
    engine.add_argument(
        "--max-num-batched-tokens", type=flag(integer(1, 1_000_000)), help="with --gpu, default 8192; else the same"
    )
    engine.add_argument("--max-model-len", type=flag(integer(1, 100_000_000)), help="with --state and --url")
    engine.add_argument("--watch", type=flag(duration(10.0, 3600.0)), default=120.0, help="a --url (default 2m)")
    engine.add_argument("--target", metavar="NAME", help="which one of --state, or of a file with several servers")
    engine.add_argument("--bearer-token-file", type=Path, metavar="FILE", help="for --url")
    engine.add_argument(
        "--disaggregated", action="store_true", help="prefill and decode on servers of their own, sized apart"
    )
    traffic = parser.add_argument_group("the traffic, where it is not the recording's")
    traffic.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="requests with their times and lengths: Azure, BurstGPT, Mooncake, JSON",
    )
    traffic.add_argument(
        "--prompt-tokens", type=flag(integer(1, 10_000_000)), help="median of a lognormal distribution"
    )
    traffic.add_argument("--output-tokens", type=flag(integer(1, 10_000_000)), help="the same of outputs")
    traffic.add_argument(
        "--sigma", type=flag(number(0.0, 3.0)), default=0.7, help="of the logarithm of both (default 0.7)"
    )
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--rate",
        type=flag(number(0.0, 1e9)),
        action="append",
        default=[],
        help="requests per second; several times for a forecast (default: the recording's or the trace's)",
    )
    asked.add_argument("--target-utilization", type=flag(number(0.05, 1.0)), default=0.8, help="default 0.8")
    asked.add_argument("--ttft-p95", type=flag(duration(0.001, 3600.0)), help='time to the first token, such as "2s"')
    asked.add_argument("--wait-p95", type=flag(duration(0.0, 3600.0)), help="time in the queue")
    asked.add_argument("--itl-p95", type=flag(duration(0.0001, 3600.0)), help="time between two tokens")
    asked.add_argument(
        "--burstiness", type=flag(number(0.1, 10.0)), help="coefficient of variation of the times between arrivals"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default table)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report of one file, with pictures, as well")
