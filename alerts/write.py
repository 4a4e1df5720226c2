"""From rules to the committed YAML: laid out for people, who read, copy and edit it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent, indent, wrap

from alerts.numbers import EVALUATION_SECONDS, LONG_WINDOW, SHORT_WINDOW, duration
from alerts.promql import MODEL
from alerts.rule import Alert, Group, Recording

RULE_FILE = Path(__file__).parent / "kvwatch.rules.yaml"
HEAD = f"""\
# Recording rules and alerts for kvwatch; docs/alerts.md explains each name and each threshold.
# Written by `python -m alerts` from the Python beside this file: change that, not this.
#
# A model is what has one {MODEL}; labels that do not exist count as empty.
# The rules need the windows "{SHORT_WINDOW}" and "{LONG_WINDOW}" of kvwatch's configuration (the default). How long a
# new replica takes is configured there too (estimates.scale_up) and comes here as kvwatch_scale_up_seconds.
"""
INTERVAL = duration(EVALUATION_SECONDS)
"""How often rules are evaluated: as often as the shortest scrape interval that they are made for."""
WIDTH = 120
"""Columns of a line of the file."""
_WORDS = re.compile(r"(?:{{.*?}}|[^\s{]|{(?!{))+")
"""Words, and templates with what touches them."""
_PLAIN = re.compile(r"""[A-Za-z0-9(_/][^#'"{}\[\]&*!|>%@`]*""")
"""What YAML takes for a string without quotes, more strictly than it must; a colon before a space is refused apart."""


def to_yaml(groups: Iterable[Group]) -> str:
    """The rule file."""
    return HEAD + "groups:\n" + "\n".join("\n".join(_group(group)) + "\n" for group in groups)


def _group(group: Group) -> Iterator[str]:
    yield f"  - name: {group.name}"
    yield f"    interval: {INTERVAL}"
    yield "    rules:"
    for rule in group.rules:
        yield from (f"      {line}" for line in _rule(rule))


def _rule(rule: Recording | Alert) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(rule.why, WIDTH - 8))
    (kind, name), *more = rule.fields.items()
    yield f"- {kind}: {name}"
    yield from _block("  expr: ", "|", dedent(rule.expr).strip().splitlines())
    yield from (f"  {key}: {value}" for key, value in more)
    if isinstance(rule, Alert):
        yield "  labels:"
        yield f"    severity: {rule.severity}"
        yield "  annotations:"
        for key, text in rule.annotations.items():
            yield from _block(f"    {key}: ", ">-", text)


def _block(key: str, style: str, text: Sequence[str]) -> Iterator[str]:
    """A value on the key's own line where it is one line that fits, else as a block below it."""
    text = [part for line in text for part in _filled(line)] if style == ">-" else text
    if len(text) == 1 and len(key) + len(text[0]) + 6 <= WIDTH:
        yield key + _scalar(text[0])
        return
    yield key + style
    margin = " " * (len(key) - len(key.lstrip()) + 2)
    yield from indent("\n".join(text), margin).splitlines()


def _filled(line: str) -> Iterator[str]:
    """A line of words and templates as lines that fit, as far as a template fits: none is broken."""
    filled = ""
    for word in _WORDS.findall(line):
        if filled and len(filled) + 1 + len(word) > WIDTH - 12:
            yield filled
            filled = ""
        filled += f" {word}" if filled else word
    yield filled


def _scalar(text: str) -> str:
    """A string as YAML has it: in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and ": " not in text and not text.endswith(":"):
        return text
    return "'" + text.replace("'", "''") + "'"
