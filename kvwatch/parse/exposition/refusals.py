"""What an operator is told where a target shows metrics of a server and no engine can be made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvwatch.parse.exposition.names import Name
from kvwatch.parse.exposition.tables import Table

_MOST_NAMED = 3
"""Names of a kind that a sentence gives [names]. Choice: a line of a log stays readable."""
_MOST_CHARACTERS = 100


class Nameless:
    """Metrics of a server without the label that names its model: a router's, as a rule."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._labels: dict[str, str] = {}
        self._wanted = ""

    def add(self, name: Name, labels: Mapping[str, str]) -> None:
        """One such series."""
        self._names[name.prefix + name.bare] = None
        self._labels.update(labels)
        self._wanted = self._wanted or name.table.model_labels[0]

    def sentence(self) -> str:
        """What is said of them; empty where there is none."""
        if not self._names:
            return ""
        where = ""
        if self._labels:
            where = f" (labels: {_list(sorted(self._labels))})"
        return (
            f"it shows {_list(list(self._names))}{where}, and none has the label {self._wanted}: "
            "these are a router's or somebody's sums, not an engine's; give the address of each engine as a target"
        )


def untellable(model: str, label: str, without: Sequence[str], prefix: str) -> str:
    """A label tells the engines of a model apart in some families and is missing from others."""
    return (
        f"of model {_cut(model)} the label {_cut(label)} distinguishes several engines, and "
        f"{_list([prefix + name for name in without])} lack it, so that it is not known whose they are: keep the label "
        "on all metrics, or give the address of each engine as a target"
    )


def without_gauges(model: str, table: Table, prefix: str) -> str:
    """A model is shown without the numbers that every engine of it has."""
    wanted = sorted(table.gauges & {sample.name for row in table.rows[:2] for sample in row.samples})
    return (
        f"of model {_cut(model)} there are metrics with {prefix}, but none of {_list([prefix + n for n in wanted])}: "
        "is a filter of metrics in between?"
    )


def unread(prefix: str) -> str:
    """Nothing that is read, of a server that is known."""
    return f"there are metrics with {prefix}, but none that kvwatch reads: give the address of each engine as a target"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(_cut(name) for name in names[:_MOST_NAMED])
    return shown + (" …" if len(names) > _MOST_NAMED else "")


def _cut(text: str) -> str:
    clean = "".join(character if character.isprintable() else "_" for character in text)
    return clean if len(clean) <= _MOST_CHARACTERS else clean[:_MOST_CHARACTERS] + "…"
