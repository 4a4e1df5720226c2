"""FleetView → the text of ``/metrics``, in pieces, so that a thousand engines do not hold up the event loop.

Prometheus' own library writes the same text (the tests compare), but takes seconds for a thousand engines. The lines
of an engine are kept as long as its view is the same object, and go with it: a series exists because the view holds
its number. Numbers that are not finite never leave. The series are bounded by the targets of the configuration and by
the core, which bounds the engines of a target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.catalog_settings import SETTING_METRICS
from kvwatch.export.metric import SCOPE_LABELS, Kind, Metric, Scope
from kvwatch.export.series import Samples, Series, model_series, number, setting_series, target_series
from kvwatch.views import EngineView, FleetView

_PIECE_SERIES = 500
_number: Callable[[float], str] = floatToGoString
_generate_openmetrics: Callable[[CollectorRegistry], bytes] = generate_openmetrics
_ENGINE_LABELS = SCOPE_LABELS[Scope.ENGINE]
_COLUMNS = [(metric, ",".join(metric.extra_labels)) for metric in ENGINE_METRICS]
"""Each metric, and the labels that it adds or ""."""
_EXTRA_LABELS = frozenset(label for _, label in _COLUMNS if label and "," not in label)
_Key = tuple[str, str, str, str]
"""Target, model, engine and role."""
_Lines = tuple[list[str], str, list[str]]
"""Of one engine: its lines of each of ENGINE_METRICS, those of VALIDITY, and of each of SETTING_METRICS."""


def asks_for_openmetrics(accept: str) -> bool:
    """Whether an ``Accept`` header names OpenMetrics; where it does not, the classic text format 0.0.4 is meant."""
    for offer in accept.lower().split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        if media == "application/openmetrics-text" and "q=0" not in parameters:
            return True
    return False


def content_type(openmetrics: bool) -> str:
    """The content type of either format."""
    return CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """Asks for a view and writes it down.

    ``view`` gives the fleet as it is at that moment, ``self_samples`` the watcher's own numbers; both are called once
    each time. ``others`` are collectors of Prometheus' library, with few series, whose families are added.
    """

    def __init__(
        self, view: Callable[[], FleetView], self_samples: Callable[[], Samples] = dict, *others: Collector
    ) -> None:
        self._view = view
        self._self_samples = self_samples
        self._others = CollectorRegistry(auto_describe=False)
        for collector in others:
            self._others.register(collector)
        self._written: dict[_Key, tuple[EngineView, _Lines]] = {}

    def pieces(self, *, openmetrics: bool) -> Iterator[str]:
        """The text, in pieces that take a millisecond or less each; some are empty."""
        view, own = self._view(), self._self_samples()
        engines: list[_Lines] = []
        kept: dict[_Key, tuple[EngineView, _Lines]] = {}
        for target in view.targets:
            for engine in target.shown:
                key = (engine.target, engine.model_name, engine.engine, target.role)
                written = self._written.get(key)
                if written is None or written[0] is not engine:
                    written = (engine, _engine_lines(engine, target.role))
                    yield ""
                kept[key] = written
                engines.append(written[1])
        self._written = kept
        for index, metric in enumerate(ENGINE_METRICS):
            yield from _family(metric, ["".join([lines[index] for lines, _, _ in engines])], openmetrics)
        for metric in MODEL_METRICS:
            yield from _family(metric, _texts(metric, model_series(metric, view.models)), openmetrics)
        yield from _family(VALIDITY, ["".join([validity for _, validity, _ in engines])], openmetrics)
        for index, metric in enumerate(SETTING_METRICS):
            yield from _family(metric, ["".join([settings[index] for _, _, settings in engines])], openmetrics)
        for metric, series in zip(TARGET_METRICS, target_series(view), strict=True):
            yield from _family(metric, _texts(metric, series), openmetrics)
        for metric in SELF_METRICS:
            yield from _family(metric, _texts(metric, own.get(metric.name, ())), openmetrics)
        rest = _generate_openmetrics(self._others) if openmetrics else generate_latest(self._others)
        if rest:
            yield rest.decode()

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The whole exposition in the format that an ``Accept`` header asks for, and its content type."""
        openmetrics = asks_for_openmetrics(accept)
        return "".join(self.pieces(openmetrics=openmetrics)).encode(), content_type(openmetrics)


def _engine_lines(engine: EngineView, role: str) -> _Lines:
    """All lines of one engine, with the label ``role`` where it has one. With many engines the time goes here."""
    own = [*zip(_ENGINE_LABELS, (engine.target, engine.model_name, engine.engine), strict=True)]
    if role:
        own.append(("role", role))
    bare = _labels(own)
    around = {label: _around(label, own) for label in _EXTRA_LABELS}
    found = []
    for metric, label in _COLUMNS:
        value, name = number(metric, engine), metric.name
        if isinstance(value, dict) and len(metric.extra_labels) > 1:
            paired = (zip(metric.extra_labels, metric.values_of(key), strict=True) for key in value)
            numbers = zip(paired, value.values(), strict=True)
            found.append("".join([f"{name}{_labels([*own, *pairs])} {_number(one)}\n" for pairs, one in numbers]))
        elif isinstance(value, dict):
            before, after = around[label]
            lines = [f"{name}{before}{_escaped(key)}{after} {_number(one)}\n" for key, one in value.items()]
            found.append("".join(lines))
        elif value is not None:
            found.append(f"{name}{bare} {_number(value)}\n")
        else:
            found.append("")
    validity = [
        f"{VALIDITY.name}{_labels([*own, ('estimate', estimate), ('reason', said.reason)])} {_number(said.valid)}\n"
        for estimate, said in engine.estimate_valid.items()
    ]
    settings = [
        "".join(
            f"{metric.name}{_labels([*own, *zip(metric.extra_labels, labels[len(_ENGINE_LABELS) :], strict=True)])}"
            f" {_number(value or 0.0)}\n"
            for labels, value in setting_series(metric, engine)
        )
        for metric in SETTING_METRICS
    ]
    return found, "".join(validity), settings


def _around(label: str, own: list[tuple[str, str]]) -> tuple[str, str]:
    """What stands before and after the value of a label that is added to those of an engine."""
    pairs = [(name, f'{name}="{_escaped(value)}"') for name, value in sorted(own)]
    before = "".join([f"{pair}," for name, pair in pairs if name < label])
    after = "".join([f",{pair}" for name, pair in pairs if name > label])
    return f'{{{before}{label}="', f'"{after}}}'


def _family(metric: Metric, texts: Iterable[str], openmetrics: bool) -> Iterator[str]:
    """The family's lines after what describes it; nothing where there is none."""
    head = _head(metric, openmetrics)
    for text in texts:
        if text:
            yield head + text
            head = ""


def _texts(metric: Metric, series: Iterable[Series]) -> Iterator[str]:
    """Lines of many series, some hundred at a time."""
    lines: list[str] = []
    for line in _lines(metric, series):
        lines.append(line)
        if len(lines) == _PIECE_SERIES:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def _lines(metric: Metric, series: Iterable[Series]) -> Iterator[str]:
    for labels, value in series:
        if value is not None and math.isfinite(value):
            yield f"{metric.name}{_labels(zip(metric.labels, labels, strict=True))} {_number(value)}\n"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    text = ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels)])
    return f"{{{text}}}" if text else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _head(metric: Metric, openmetrics: bool) -> str:
    """HELP and TYPE; OpenMetrics names a counter and an info without their suffixes."""
    name, kind, words = metric.name, metric.kind.value, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        name = name.removesuffix({Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(metric.kind, ""))
        words = words.replace('"', r"\"")
    elif metric.kind is Kind.INFO:
        kind = "gauge"
    return f"# HELP {name} {words}\n# TYPE {name} {kind}\n"
