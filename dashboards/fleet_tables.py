"""Tables of the Fleet dashboard: models, engines, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from dashboards import panels as p
from dashboards.belief import reasons
from dashboards.engine_rows import WHEN
from dashboards.fleet_rows import FLEET
from dashboards.frame import ENGINE_UID
from dashboards.states import STATES
from dashboards.style import CALM, DANGER, DEMAND, LIMIT_WORDS, MUTED, PLAIN, RATE, RATIO, SECONDS, WORRY

IDENTITY = "model_name, target, engine, instance"
_CELL = "custom.cellOptions"


def looks() -> dict[str, list[DynamicConfigValue]]:
    """How the columns of these tables look, by their name."""
    load_steps = p.steps(MUTED, (0.0, DEMAND)).build()
    by_value = p.prop("color", {"mode": "thresholds"})
    colored = p.prop(_CELL, {"type": "color-text"})
    limits = {code: (text, None) for code, text in enumerate(LIMIT_WORDS.values(), 1)}
    whole, tenths = p.prop("decimals", 0), p.prop("decimals", 1)
    return {
        "Model": [_least(110)],
        "Role": [_least(70)],
        "Target": [_least(120)],
        "Engine": [_least(65)],
        "Watched by": [p.prop("custom.hidden", True), p.hidden_column()],
        "State": [
            p.prop("mappings", [p.words({state.code: (state.name, state.color) for state in STATES})]),
            colored,
            _least(115),
        ],
        "Load": [
            p.prop("unit", RATIO),
            whole,
            p.prop("min", 0),
            p.prop("max", 1.2),
            p.prop("thresholds", load_steps),
            by_value,
            p.prop(_CELL, {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
            _least(110),
        ],
        "Full in": [
            p.prop("unit", SECONDS),
            whole,
            p.prop("mappings", [p.words(WHEN)]),
            p.prop("thresholds", p.steps(MUTED, (0.0, PLAIN)).build()),
            by_value,
            colored,
            _least(90),
        ],
        "Replicas": [whole, _least(70)],
        "To add": [whole, p.prop("thresholds", p.steps(PLAIN, (1.0, WORRY)).build()), by_value, colored, _least(65)],
        "Limited by": [p.prop("mappings", [p.words(limits)]), _least(100)],
        "λ": [p.prop("unit", RATE), tenths, _least(80)],
        "μ": [p.prop("unit", RATE), tenths, _least(80)],
        "Waiting": [whole, _least(70)],
    }


def _least(width: int) -> DynamicConfigValue:
    """The least width of a column, in pixels: a narrow screen scrolls rather than cuts."""
    return p.prop("custom.minWidth", width)


def dressed(panel: table.Panel, names: Mapping[str, str]) -> table.Panel:
    """A table whose columns look as their names want it."""
    for name, properties in looks().items():
        if name in names.values():
            panel = panel.override_by_name(name, properties)
    return panel


def models() -> table.Panel:
    """One row for each model and role, the worst state first."""
    queries = {
        "A": ("State", FLEET.by_model("max", FLEET.state)),
        "B": ("Load", FLEET.by_model("max", FLEET.load_of_limit)),
        "C": ("Full in", FLEET.by_model("min", FLEET.saturation)),
        "D": ("Replicas", FLEET.replicas),
        "E": ("To add", f"{FLEET.replicas_required} - {FLEET.replicas}"),
        "F": ("Limited by", FLEET.by_model("max", FLEET.binding)),
        "G": ("λ", FLEET.by_model("sum", FLEET.arrivals)),
        "H": ("μ", FLEET.by_model("sum", FLEET.metric("kvwatch_service_rate"))),
        "I": ("Waiting", FLEET.by_model("sum", FLEET.metric("kvwatch_queue_length"))),
    }
    panel = p.rows(
        "Models, the most urgent first",
        "Load is the share of its limit that the busiest engine has reached, state that of the worst; λ, μ and waiting "
        "are summed. To add is how many replicas it takes more to be at the utilization to size for; below 0, how many "
        "are to spare. Click a model for its engine in detail.",
        height=8,
    )
    return joined(
        panel,
        {"model_name": "Model", "role": "Role"},
        queries,
        f"/d/{ENGINE_UID}?${{datasource:queryparam}}&var-model_name=${{__data.fields.Model}}",
    )


def engines() -> table.Panel:
    """One row for each engine, the worst state first."""

    def of(expression: str) -> str:
        return f"max by ({IDENTITY}) ({expression})"

    queries = {
        "A": ("State", of(FLEET.state)),
        "B": ("Load", f"topk(50, {of(FLEET.load_of_limit)})"),
        "C": ("Full in", of(FLEET.saturation)),
        "D": ("Limited by", of(FLEET.binding)),
        "E": ("λ", of(FLEET.arrivals)),
        "F": ("μ", of(FLEET.metric("kvwatch_service_rate"))),
        "G": ("Waiting", of(FLEET.metric("kvwatch_queue_length"))),
    }
    panel = p.rows(
        "Engines",
        "Every engine, the worst state first. One far above the others of its model is hot: requests are "
        "not spread evenly. Click a target for its details.",
        height=10,
    )
    names = {"model_name": "Model", "target": "Target", "engine": "Engine", "instance": "Watched by"}
    return joined(panel, names, queries, engine_link())


def engine_link() -> str:
    """To the Engine dashboard with the engine of the row."""
    fields = {"model_name": "Model", "target": "Target", "engine": "Engine", "instance": "Watched by"}
    chosen = "&".join(f'var-{name}=${{__data.fields["{field}"]}}' for name, field in fields.items())
    return f"/d/{ENGINE_UID}?${{datasource:queryparam}}&{chosen}"


def joined(
    panel: table.Panel, labels: Mapping[str, str], queries: Mapping[str, tuple[str, str]], url: str
) -> table.Panel:
    """A table of several queries, joined on their labels, with a link on its first columns."""
    names = dict(labels)
    for ref, (name, expression) in queries.items():
        panel = panel.with_target(p.as_rows(ref, expression))
        names[f"Value #{ref}"] = name
    panel = dressed(p.columns(panel, names, ("Time",)), names)
    for name in labels.values():
        if name in {"Model", "Target"}:
            panel = panel.override_by_name(name, [p.prop("links", [{"title": "Engine dashboard", "url": url}])])
    return panel.sort_by([p.descending("State"), p.descending("Load")])


def watching() -> list[table.Panel]:
    """What kvwatch cannot read, and which engines have no ρ."""
    down = (
        p.rows(
            "Targets",
            "Every server that kvwatch watches: whether its last scrape succeeded, and how long ago one did.",
            width=12,
            height=8,
        )
        .with_target(p.as_rows("A", "kvwatch_target_up"))
        .with_target(p.as_rows("B", "max by (target, instance) (kvwatch_scrape_age_seconds)"))
        .with_target(p.as_rows("C", "max by (target, instance) (kvwatch_scrape_duration_seconds)"))
        .override_by_name(
            "Read",
            [
                p.prop("mappings", [p.words({1: ("yes", CALM), 0: ("no", DANGER)})]),
                p.prop(_CELL, {"type": "color-text"}),
            ],
        )
        .override_by_name("Last read", [p.prop("unit", SECONDS), p.prop("decimals", 1)])
        .override_by_name("Took", [p.prop("unit", SECONDS)])
    )
    names = {
        "target": "Target",
        "instance": "Watched by",
        "Value #A": "Read",
        "Value #B": "Last read",
        "Value #C": "Took",
    }
    down = p.columns(down, names, ("Time", "__name__", "job")).sort_by([p.ascending("Read")])
    unsure = (
        p.rows(
            "Engines whose utilization is not sure",
            "Engines of which ρ is unknown or not to be believed, and why. They count neither as idle nor as full.",
            width=12,
            height=8,
        )
        .with_target(
            p.as_rows("A", FLEET.metric("kvwatch_estimate_valid", 'estimate=~"utilization|service_rate"') + " == 0")
        )
        .no_value("none")
        .override_by_name("Why", [p.prop("mappings", [p.words(reasons())])])
    )
    unsure = p.columns(
        unsure,
        {"model_name": "Model", "target": "Target", "estimate": "Estimate", "reason": "Why"},
        ("Time", "__name__", "job", "instance", "engine", "Value"),
    )
    return [down, unsure]
