"""What a rule file consists of: recorded series and alerts, in groups that Prometheus evaluates in order."""

from __future__ import annotations

from dataclasses import dataclass, field

RUNBOOKS = "http://localhost:9718/runbooks"
"""Where kvwatch serves them itself; the chart and docs/alerts.md say how to put another address in."""
CRITICAL = "critical"
"""Users feel it or soon will: somebody is paged."""
WARNING = "warning"
"""Somebody should look at it in working hours: a ticket."""
NONE = "none"
"""For people who look at Prometheus; nobody is notified."""

FLEET = "/d/kvwatch-fleet"
"""The dashboard of all models; people put their Grafana's address before it."""
FLEET_OF_MODEL = FLEET + "?var-model_name={{ urlquery $labels.model_name }}"
"""The same with the alert's model chosen."""
ENGINE_DASHBOARD = "/d/kvwatch-engine?" + "&".join(
    f"var-{label}={{{{ urlquery $labels.{label} }}}}" for label in ("model_name", "target", "engine", "instance")
)
"""The dashboard of the alert's engine."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded series.

    Attributes:
        name: ``level:metric:operation``.
        expr: PromQL, in any layout.
        why: What it is for, a comment in the rule file.
    """

    name: str
    expr: str
    why: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The rule's plain fields in the file."""
        return {"record": self.name}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; its runbook bears its name.

    Attributes:
        name: CamelCase, ``Kvwatch`` first.
        expr: PromQL, in any layout.
        severity: One of those above.
        keep_firing: How long it goes on after its condition has gone, such as ``10m``, with the words of the
            condition's last moment; empty where the expression itself goes on.
        summary: One line, a template of Prometheus.
        description: Lines that are joined by spaces, a template of Prometheus.
        dashboard: Path and query of the dashboard that shows most.
        hold: How long the condition must have held, such as ``1m``; at once without it.
        why: What it is for, a comment in the rule file.
    """

    name: str
    expr: str
    severity: str
    summary: tuple[str, ...]
    description: tuple[str, ...]
    dashboard: str
    hold: str = ""
    keep_firing: str = ""
    why: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The rule's plain fields in the file, without its labels and words."""
        held = {"for": self.hold} if self.hold else {}
        kept = {"keep_firing_for": self.keep_firing} if self.keep_firing else {}
        return {"alert": self.name} | held | kept

    @property
    def annotations(self) -> dict[str, tuple[str, ...]]:
        """Texts by name, each as lines that are joined by spaces."""
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": (f"{RUNBOOKS}/{self.name}.md",),
            "dashboard_url": (self.dashboard,),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another, so that a rule sees what those above it have just recorded."""

    name: str
    rules: tuple[Recording | Alert, ...] = field(default=())
