"""Rules over what was estimated of all servers, part after part, so that memory does not grow with the time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np

from kvwatch.backtest.incidents import QueueSpells
from kvwatch.backtest.judge import Alerting
from kvwatch.backtest.spells import Spell, joined, spells
from kvwatch.backtest.timeline import NEEDED, Model, Stretch, Timeline, joined_timelines, model_of, read_stretch
from kvwatch.promql.firing import Run
from kvwatch.promql.labels import Labels, labels_of
from kvwatch.promql.rules import Rule, RuleFile, read_rules
from kvwatch.promql.selectors import names_in
from kvwatch.promql.series import Stored
from kvwatch.shell.backtest.estimate import part_path
from kvwatch.shell.backtest.parts import PART_SECONDS, read_rows

_BUILD_INFO = labels_of("kvwatch_build_info", job="kvwatch")
"""There all the time: nobody is to be told that no kvwatch runs."""


def own_rules() -> RuleFile:
    """Kvwatch's rules as they ship."""
    return read_rules((files("kvwatch.backtest") / "kvwatch.rules.yaml").read_text(encoding="utf-8"))


def wanted_names(rules: RuleFile) -> frozenset[str]:
    """Names of kvwatch's series that the rules and the curves need."""
    return NEEDED.union(*(names_in(rule.expression) for rule in rules.rules))


@dataclass(slots=True)
class Evaluated:
    """What the rules did and what was watched meanwhile."""

    alerting: list[Alerting]
    timelines: dict[Model, Timeline]
    queues: QueueSpells


@dataclass(slots=True)
class FiringSpells:
    """Spells in which alerts fired, by the alert and its labels, put together over stretches of time."""

    step: float
    _found: dict[tuple[Rule, Labels], list[Spell]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rule: Rule, labels: Labels, found: list[Spell]) -> None:
        """Take what one stretch brought."""
        if found:
            self._found[rule, labels] += found

    def alerting(self, known: Collection[Model]) -> list[Alerting]:
        """Each spell of each alert that is about one of the known models, or does not say about which."""
        result = []
        for (rule, labels), found in self._found.items():
            about = _about({**dict(labels), **dict(rule.labels)}, known)
            if about is not None:
                model = about or None
                result += [Alerting(rule.name, rule.severity, model, spell) for spell in joined(found)]
        return sorted(result, key=lambda a: (a.spell, a.alert, str(a.model)))


def _about(labels: Mapping[str, str], known: Collection[Model]) -> Model | tuple[()] | None:
    """The model that labels name; () where they may mean any of them, and ``None`` where they mean none of them."""
    named = model_of(labels)
    if named in known:
        return named
    # a rule that sums over a namespace leaves it out
    like = [model for model in known if all(value in {"", own} for value, own in zip(named, model, strict=True))]
    return like[0] if len(like) == 1 and named[2] else () if like else None


def evaluate_rules(
    folders: Sequence[Path], rules: RuleFile, start: float, end: float, told: Callable[[float], object]
) -> Evaluated:
    """Evaluate kvwatch's rules between two times [unix s]; ``told`` hears which share is done."""
    run, step = Run(rules), rules.interval
    stretches: list[Stretch] = []
    queues, fired = QueueSpells(step), FiringSpells(step)
    parts = max(math.ceil((end - start) / PART_SECONDS), 1)
    first = math.ceil(start / step) * step
    grid = np.arange(first, end + step, step)
    for number in range(parts + 1):
        times = grid[(grid >= start + number * PART_SECONDS) & (grid < start + (number + 1) * PART_SECONDS)]
        if not len(times):
            continue
        for folder in folders:
            run.database.append(read_rows(part_path(folder, number)))
        run.database.append({_BUILD_INFO: Stored(times, np.ones(len(times)))})
        for found in run.advance(times):
            fired.add(found.alert, found.labels, spells(times, found.firing, step))
        stretch = read_stretch(run.database, times)
        stretches.append(stretch)
        queues.add(stretch)
        run.forget(float(times[-1]))
        told((number + 1) / (parts + 1))
    timelines = {timeline.model: timeline for timeline in joined_timelines(stretches)}
    return Evaluated(fired.alerting(timelines), timelines, queues)
