"""Pages about a model's load: it will be full, it is, it gets more than it can serve.

Each begins with what its users notice and what to do, and gives the numbers of the last minute, with their time.
"""

from __future__ import annotations

from alerts.rule import CRITICAL, FLEET_OF_MODEL, Alert
from alerts.stages import AFTER, APPROACHING, OVERLOADED, SATURATED
from alerts.words import text

EVIDENCE = """<known?> At <at>, over the last minute: <λ> requests/s arrive and <μ> can be served, a load of <load>
    with the limit at <limit>; what binds: <binding>. <queue> requests wait<a minute>.
    Replicas that serve: <replicas>.<end>"""
"""What all three end with."""
AFTERWARDS = f"""<or eased?>Users are served better again: the load is back below the limit.<drained>
    Nothing is to be done; this page ends by itself {AFTER} after the last of it.
    <or known?>Users may still wait: it has eased a little, but <model> is at its limit or close to it.
    To do: <do>. <do more>
    <or>Users of <model> may still wait: its load is not known any more (<last load> when last known).
    To do: see if its engines answer.<end>"""
"""What they begin with once it is not so any more: kvwatch keeps a page up for a while, with the numbers of now."""

ALERTS = (
    Alert(
        "KvwatchSaturationApproaching",
        APPROACHING.page,
        CRITICAL,
        summary=text(
            """
            <model><role> <approaching?>is <full?>full, and its load still rises: <do><or soon?>full in about
            <minutes left>, before a new replica would serve: <do><or>nearly full, and stays so: <do><end>
            <or>was close to its limit minutes ago<end>
            """
        ),
        description=text(
            f"""
            <approaching?><full?>Users begin to wait: <model> is full, and its load still rises.
            <or soon?>Users notice nothing yet, and will wait in about <minutes left>, when <model> is full.
            <or>Users may begin to wait any time: <model> is nearly full, and has been for minutes.<end>
            To do: <do>. <do more> {AFTERWARDS}{EVIDENCE}
            """
        ),
        dashboard=FLEET_OF_MODEL,
    ),
    Alert(
        "KvwatchSaturated",
        SATURATED.page,
        CRITICAL,
        summary=text(
            "<model><role> <saturated?>is full, and its users begin to wait: <do><or>was full minutes ago<end>"
        ),
        description=text(
            f"""
            <saturated?>Users of <model> begin to wait, and wait longer the longer this lasts: it is full.
            To do: <do>. <do more> {AFTERWARDS}{EVIDENCE}
            """
        ),
        dashboard=FLEET_OF_MODEL,
    ),
    Alert(
        "KvwatchOverloaded",
        OVERLOADED.page,
        CRITICAL,
        summary=text(
            """
            <model><role> <overloaded?>gets more than it can serve, and its users wait longer every minute: <do>
            <or>got more than it could serve minutes ago<end>
            """
        ),
        description=text(
            f"""
            <overloaded?>Users of <model> wait longer every minute: more arrives than it can serve.
            To do: <do>. <do more> {AFTERWARDS}{EVIDENCE}
            """
        ),
        dashboard=FLEET_OF_MODEL,
    ),
)
