"""Is a model approaching its limit, at it, or beyond it? One recorded series for each stage, on which its page rests.

A page outlives its stage by :data:`AFTER`, so that a load which wavers at a limit is one page. Prometheus' own
``keep_firing_for`` would freeze the words of such a page at the last moment of the stage; the series let it go on with
the numbers of now, and let its words say that the stage is over.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.close import LOWER_1M, LOWER_5M, LOWER_15M
from alerts.numbers import PAGING_SHARE
from alerts.promql import LIMIT, RHO_1M, RHO_5M, UNLESS_EXCUSED
from alerts.rule import Recording

AFTER = "10m"
"""How long a page outlives its stage. Choice: after a restart it takes five minutes and more until ρ is known again."""
BEYOND = 1.05
"""From here on over its limit, ρ's lower bound over five minutes is enough [1]. Choice: λ of 3/s is known to 3%."""
SURE = f"model:kvwatch_estimate_valid:avg >= {PAGING_SHARE}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of an incident.

    Attributes:
        name: The operation in the name of its series; the value is ρ.
        expr: There while the model is in it.
        why: What it is for, a comment in the rule file.
        sustained: Whether it must have lasted for a minute before it pages.
    """

    name: str
    expr: str
    why: str
    sustained: bool = True

    @property
    def series(self) -> str:
        """There while the model is in the stage."""
        return f"model:kvwatch_utilization:{self.name}"

    @property
    def paging(self) -> str:
        """There while that is so for as long as it takes to page."""
        return f"{self.series}1m" if self.sustained else self.series

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The rules that record both."""
        now = Recording(self.series, self.expr, self.why)
        lasting = f"{self.series}\nand {self.series} offset 30s\nand {self.series} offset 1m"
        return (now, Recording(self.paging, lasting)) if self.sustained else (now,)

    @property
    def page(self) -> str:
        """What the page about it fires on."""
        return f"last_over_time({self.paging}[{AFTER}])"


APPROACHING = Stage(
    "approaching",
    f"""
    {RHO_1M}
    and (model:kvwatch_time_to_saturation_seconds:early or model:kvwatch_utilization_lower:close)
    and {SURE}
    {UNLESS_EXCUSED}
    """,
    "ρ while its trend meets the limit sooner than a new replica serves, or while it is surely close.",
    sustained=False,
)
SATURATED = Stage(
    "saturated",
    f"""
    {RHO_5M}
    and {RHO_5M} >= {LIMIT}
    and {RHO_1M} >= {LIMIT}
    and ({LOWER_5M} >= {BEYOND} * {LIMIT} or {LOWER_15M} >= {LIMIT})
    and {SURE}
    """,
    "ρ while it is at the limit; below, the same once it has been so for a minute.",
)
OVERLOADED = Stage(
    "overloaded",
    f"""
    (
      {RHO_5M} > 1
      or (
        {LOWER_1M} > 1
        and model:kvwatch_queue_length:sum > model:kvwatch_queue_length:sum offset 1m
        and model:kvwatch_engines:young
      )
    )
    and model:kvwatch_queue_slope_lower:sum > 0
    """,
    "ρ while more arrives than is served and the queue surely grows; below, the same once it has been so for a minute.",
)
STAGES = (APPROACHING, SATURATED, OVERLOADED)
EASED = "model:kvwatch_utilization:eased"
RECORDINGS = (
    *(recording for stage in STAGES for recording in stage.recordings),
    Recording(
        EASED,
        RHO_1M + "".join(f"\nunless {stage.series}" for stage in STAGES),
        "ρ while it is known and the model is in none of these.",
    ),
)
