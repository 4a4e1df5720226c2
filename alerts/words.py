"""How alerts speak: a text holds slots, ``<like this>``, each of which stands for a template that is written once.

Prometheus' templates are Go's: ``{{ with query ... }}`` asks for a number when the alert is sent. In the queries ``%s``
stands for matchers of the alert's model (``$m``) or engine (``$e``); :func:`text` sets those that a text needs.
"""

from __future__ import annotations

import re
from textwrap import dedent

from alerts.load_slots import LOAD_DEFINITIONS
from alerts.templates import FORM_DEFINITIONS
from alerts.word_slots import SLOTS

_DEFINITIONS = (*FORM_DEFINITIONS.items(), *LOAD_DEFINITIONS.items())
_SLOT = re.compile(r"<([^<>\n]+)>")


def _matchers(variable: str, *labels: str) -> str:
    names = ",".join(f"{label}=%q" for label in labels)
    values = " ".join(f"$labels.{label}" for label in labels)
    return '{{ $%s := printf "%s" %s -}}' % (variable, names, values)  # noqa: UP031 (braces stand for themselves)


_SET = {
    "$m": _matchers("m", "cluster", "namespace", "model_name", "role"),
    "$e": _matchers("e", "cluster", "namespace", "instance", "target", "model_name", "engine"),
}
"""Sets a variable to matchers of what the alert is about; a line of its own."""


def text(block: str) -> tuple[str, ...]:
    """The lines of an annotation, which are joined by spaces: slots filled, and before them what they rest on.

    Raises:
        KeyError: There is no such slot.
    """
    filled = block
    while _SLOT.search(filled):
        filled = _SLOT.sub(lambda slot: SLOTS[slot[1]], filled)
    needed: list[str] = []
    for name, line in reversed(_DEFINITIONS):  # one that is needed may need those before it
        if f'template "{name}"' in "".join((filled, *needed)):
            needed.insert(0, line)
    needed += [line for variable, line in _SET.items() if variable in filled]
    return (*needed, *(line.strip() for line in dedent(filled).strip().splitlines()))
