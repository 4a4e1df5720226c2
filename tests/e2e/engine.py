"""An engine for these tests alone: `python -m tests.e2e.engine PORT ramp|steady|overload SPEED`, until a signal."""

from __future__ import annotations

import asyncio
import sys

from kvwatch.embedded.scenarios import Scenario, Stage
from kvwatch.embedded.settings import SchedulerSettings
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Uniform
from kvwatch.shell.emulator.server import ServeOptions, serve

MODEL = "llama"
SEATS, BUDGET = 64, 512
STAGES = {
    "ramp": (Stage("const", 840, 0.4, 0.4), Stage("ramp", 600, 0.4, 1.2), Stage("const", 6000, 0.2, 0.2)),
    "steady": (Stage("const", 36000, 0.75, 0.75),),
    "overload": (Stage("const", 36000, 1.2, 1.2),),
}


def scenario(course: str) -> Scenario:
    """Few steps a second, so that it can be run many times faster on a busy machine."""
    settings = SchedulerSettings(
        num_blocks=300, block_size_tokens=16, max_num_seqs=SEATS, max_num_batched_tokens=BUDGET, max_model_len=1024
    )
    return Scenario(
        course, "", settings, Uniform((10, 120), (10, 100)), STAGES[course], StepLaw(0.04, 0.001, 0.0001, 0)
    )


if __name__ == "__main__":
    options = ServeOptions(
        scenario=scenario(sys.argv[2]), port=int(sys.argv[1]), seed=1, speed=float(sys.argv[3]), model_name=MODEL
    )
    asyncio.run(serve(options))
