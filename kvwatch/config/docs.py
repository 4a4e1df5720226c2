"""The page ``docs/config.md``, generated from the table of options so that it cannot drift from it."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.config.option import Option, Section
from kvwatch.config.options import ROOT

_HEAD = """\
# Configuration

Generated from `kvwatch/config/options.py`; `python -m kvwatch.cli.docs docs` writes it again.

`kvwatch run --config kvwatch.yaml` reads one YAML file; [kvwatch.example.yaml](../kvwatch.example.yaml) shows every
key. Flags win over the file. `kvwatch check-config FILE` prints every mistake with the path to it, without starting
anything: unknown keys, wrong types, values out of range, duplicate keys and duplicate targets are all errors.

Durations are text such as `500ms`, `15s`, `5m` or `1h`, or a number of seconds. Secrets are never in the file: it
names files that hold them, which may rotate while kvwatch runs.

SIGHUP reads the file again. Targets come and go without a loss to those that stay. A file with a mistake changes
nothing: its faults are logged, and `kvwatch_config_last_reload_successful` is 0 until one without is read. Changes of
`server`, `estimates`, `traces` and `scrape.interval` need a restart, and the log says so.
"""


def config_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_sections(ROOT, "")])


def _sections(section: Section, path: str) -> Iterator[str]:
    for entry in section.content.values():
        if not isinstance(entry, Section):
            continue
        inner = f"{path}{entry.key}{'[]' if entry.is_list else ''}"
        yield f"## `{inner}`\n\n{entry.help}\n"
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        yield from (_row(option) for option in entry.content.values() if isinstance(option, Option))
        yield ""
        yield from _sections(entry, f"{inner}.")


def _row(option: Option) -> str:
    default = "required" if option.required else f"`{option.default}`" if option.default else "none"
    return f"| `{option.key}` | {option.kind} | {default} | {option.help} |"
