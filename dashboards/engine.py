"""The Engine dashboard: how close one engine is to its limit, when it gets there, what limits it, how sure that is."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import belief
from dashboards import engine_rows as rows
from dashboards import engine_why as why
from dashboards.frame import ENGINE_UID as UID
from dashboards.frame import FLEET_UID, Alerts, Restarts, choice, frame, link, source
from dashboards.panels import add

_DESCRIPTION = (
    "One vLLM engine as kvwatch sees it: λ is what arrives, μ what it can sustain, ρ = λ/μ. Beyond the stable limit "
    "1 − δ the queue may grow without end."
)


def build() -> Dashboard:
    """The dashboard."""
    known = "kvwatch_engine_state"
    model = 'model_name="$model_name"'
    target = f'{model},target="$target"'
    board = (
        frame("kvwatch / Engine", UID, _DESCRIPTION)
        .with_variable(source())
        .with_variable(choice("model_name", "Model", known, "model_name"))
        .with_variable(choice("target", "Target", f"{known}{{{model}}}", "target"))
        .with_variable(choice("engine", "Engine", f"{known}{{{target}}}", "engine"))
        .with_variable(choice("instance", "Watched by", f"{known}{{{target}}}", "instance"))
        .with_variable(rows.window_variable())
        .link(link("Fleet", FLEET_UID, "All models"))
        .annotation(Alerts('model_name=~"${model_name:regex}|"', 'target=~"${target:regex}|"'))
        .annotation(Restarts(target, 'engine="$engine"'))
    )
    for panel in (*rows.verdict(), *rows.load(), *rows.latency(), *rows.pressure()):
        board.with_panel(panel)
    add(board, "Why: what the sustainable rate is made of", why.parts())
    add(board, "Evictions: congestion that serving itself creates", why.evictions())
    add(board, "Can it be believed?", belief.both(rows.ENGINE))
    add(board, "Tenants (with a request log or traces)", why.tenants(), closed=True)
    return board.build()
