"""``kvwatch backtest``: what alerts would have done in the past, as a report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from kvwatch.backtest.html import as_html
from kvwatch.backtest.markdown import as_markdown
from kvwatch.backtest.report import Report, as_json
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.words import duration, headline, moment
from kvwatch.cli.common import CommandError
from kvwatch.cli.flags.backtest import DEFAULT_OUTPUT
from kvwatch.config import ConfigError, Fault, ValidatedConfig, load_config, parse_target_url
from kvwatch.constants import DAY_SECONDS
from kvwatch.core.options import CoreOptions
from kvwatch.daemon.parts import configured_settings, core_options
from kvwatch.facts import Settings, SettingSource
from kvwatch.promql.rules import RuleFile, RuleFileError, read_rules
from kvwatch.shell.backtest.checkpoint import Checkpoint, CheckpointError
from kvwatch.shell.backtest.run import NothingError, Question, backtest, span_of_recordings
from kvwatch.shell.backtest.side_by_side import ClusterError
from kvwatch.shell.prometheus.api import PrometheusError, Server
from kvwatch.shell.prometheus.history import matchers_of
from kvwatch.shell.recordings.replay import RecordingError
from kvwatch.shell.scrape.credentials import Credentials

_DEFAULT_AGO_SECONDS = 7 * DAY_SECONDS
"""How far back a backtest goes where nothing is said [s]. Choice: a week has every kind of day."""
_LEAST_SECONDS = 300.0
"""Shortest time that is looked at [s]. Choice: estimates need minutes, and a page a trend."""
_MODEL_LEAST_SECONDS, _LONG_MODEL_LEAST_SECONDS = 300.0, 900.0
"""Least time between two runs of the embedded engine, also over long times [s]. Measured: on simulated days with two
overloads, μ differs by 0.4% in the median and by 3% or 4% at most from that with a run each half minute."""
_SHORT_SECONDS = 2 * DAY_SECONDS
"""Time up to which estimates are looked at often [s]. Choice: beyond, they are what the work goes into."""
_OFTEN_SECONDS = 15.0
_SELDOM_SECONDS = 60.0
_WRITERS: dict[str, Callable[[Report], bytes]] = {
    ".html": lambda report: as_html(report).encode(),
    ".md": lambda report: as_markdown(report).encode(),
    ".json": lambda report: (
        orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    ),
}


def execute(args: argparse.Namespace) -> None:
    """Look, judge and write the reports."""
    outputs: list[Path] = args.output or [DEFAULT_OUTPUT]
    for path in outputs:
        if not path.resolve().parent.is_dir():
            raise CommandError(f"cannot write {path}: its folder does not exist")
    config = load_config(args.config) if args.config is not None else ValidatedConfig()
    rules = _rules(args.rules)
    asked = _asked(args, config)
    parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvwatch" / "backtest"
    checkpoint = Checkpoint(args.checkpoint, asked) if args.checkpoint else Checkpoint.named(parent, asked)
    try:
        span = _span(args)
        checkpoint.open({"start": span.start, "end": span.end}, fresh=args.fresh)
        span = Spell(checkpoint.found["start"], checkpoint.found["end"])
        if checkpoint.resumed:
            _say(f"going on with the run to {moment(span.end)} UTC that was stopped; --fresh begins again")
        report = _done(_question(args, config, span, rules), checkpoint)
    except (CheckpointError, ClusterError, NothingError, PrometheusError, RecordingError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot work in {checkpoint.folder}: {error.strerror or error}") from None
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        raise
    for path in outputs:
        try:
            path.write_bytes(_WRITERS[path.suffix](report))
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
    if args.checkpoint is None:
        checkpoint.remove()
    for line in headline(report):
        print(line)
    for name, reason in report.yours.not_evaluated if report.yours is not None else ():
        _say(f"your alert {name} could not be evaluated: {reason}")
    print(f"Written: {', '.join(map(str, outputs))}")


def _say(words: str) -> None:
    print(f"kvwatch backtest: {words}", file=sys.stderr)


def _rules(path: Path | None) -> tuple[str, RuleFile] | None:
    if path is None:
        return None
    try:
        return path.name, read_rules(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from None
    except (RuleFileError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {error}") from None


def _asked(args: argparse.Namespace, config: ValidatedConfig) -> dict[str, Any]:
    """All that the answer depends on, for the name of the folder and against mixing two questions."""
    text = args.rules.read_text(encoding="utf-8") if args.rules is not None else ""
    return {
        "prometheus": args.prometheus,
        "recordings": [str(folder.resolve()) for folder in args.recording or ()],
        "start": args.start,
        "end": args.end,
        "match": args.match,
        "rules": text,
        "every": args.every,
        "config": repr(config),
        "settings": [args.max_num_seqs, args.max_num_batched_tokens, args.max_model_len],
    }


def _span(args: argparse.Namespace) -> Spell:
    """The time that is looked at.

    Raises:
        ConfigError: it is empty, or flags about it do not go together.
    """
    if args.recording:
        if args.start is not None or args.end is not None:
            raise ConfigError([Fault("", "--start and --end go with --prometheus; a recording is looked at whole")])
        return span_of_recordings(args.recording)
    now = time.time()
    end = _moment(args.end, now) if args.end is not None else now
    start = _moment(args.start if args.start is not None else ("ago", _DEFAULT_AGO_SECONDS), now)
    if end - start < _LEAST_SECONDS:
        raise ConfigError(
            [
                Fault(
                    "",
                    f"--start to --end is {duration(max(end - start, 0.0))}; give {duration(_LEAST_SECONDS)} or more",
                )
            ]
        )
    return Spell(round(start, 3), round(min(end, now), 3))


def _moment(given: tuple[str, float], now: float) -> float:
    kind, value = given
    return value if kind == "at" else now - value


def _question(
    args: argparse.Namespace, config: ValidatedConfig, span: Spell, rules: tuple[str, RuleFile] | None
) -> Question:
    given = (args.max_num_seqs, args.max_num_batched_tokens, args.max_model_len)
    general = Settings(*given, source=SettingSource.CONFIG)
    options = core_options(config)
    try:
        matches = tuple(matchers_of(text) for text in args.match)
    except ValueError as error:
        raise ConfigError([Fault("--match", f"no selector of labels: {error}")]) from None
    return Question(
        span=span,
        queue_seconds=args.queue_for,
        every_seconds=args.every or (_OFTEN_SECONDS if span.seconds <= _SHORT_SECONDS else _SELDOM_SECONDS),
        server=_server(args) if args.prometheus is not None else None,
        matches=matches,
        recordings=tuple(args.recording or ()),
        rules=rules,
        settings={"": general, **{target.name: configured_settings(target) for target in config.targets}},
        options=_plain(options, span),
        processes=args.processes,
        dask=args.dask,
    )


def _plain(options: CoreOptions, span: Spell) -> dict[str, object]:
    """The core's options as they go to another process, with what costs most done less often."""
    least = _MODEL_LEAST_SECONDS if span.seconds <= _SHORT_SECONDS else _LONG_MODEL_LEAST_SECONDS
    found = {field.name: getattr(options, field.name) for field in fields(options)}
    slower = {"model_least_seconds": least, "seeks_seats": False}
    return {**found, **slower, "windows_seconds": dict(options.windows_seconds)}


def _server(args: argparse.Namespace) -> Server:
    """The Prometheus.

    Raises:
        ConfigError: flags about it are wrong.
    """
    faults = []
    try:
        url = parse_target_url(args.prometheus).base_url
    except ValueError as error:
        url = ""
        faults.append(Fault("--prometheus", str(error)))
    if (args.username is None) != (args.password_file is None):
        faults.append(Fault("", "--username and --password-file go together"))
    if args.bearer_token_file is not None and args.username is not None:
        faults.append(Fault("", "give --bearer-token-file or --username, not both"))
    if args.key_file is not None and args.cert_file is None:
        faults.append(Fault("", "--key-file is the key of --cert-file, which is missing"))
    if faults:
        raise ConfigError(faults)
    credentials = Credentials(
        bearer_token_file=args.bearer_token_file,
        username=args.username,
        password_file=args.password_file,
        ca_file=args.ca_file,
        cert_file=args.cert_file,
        key_file=args.key_file,
        insecure_skip_verify=args.insecure_skip_verify,
    )
    return Server(url, credentials, args.timeout, args.queries_per_second, dict(args.header))


def _done(question: Question, checkpoint: Checkpoint) -> Report:
    with _progress() as told:
        return backtest(question, checkpoint, told)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error where that is a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _words, _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("looking for servers", total=1.0)

        def told(words: str, share: float) -> None:
            if progress.tasks[0].description != words:
                progress.reset(bar, total=1.0, description=words)
            progress.update(bar, completed=share)

        yield told
