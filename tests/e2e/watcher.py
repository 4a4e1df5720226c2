"""The real daemon with all its times divided: `python -m tests.e2e.watcher PORT TARGET STATE SPEED`, until a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from kvwatch.app import Daemon
from kvwatch.config import EstimatesConfig, ScrapeConfig, ServerConfig, TargetConfig, ValidatedConfig
from tests.e2e.engine import BUDGET, SEATS


async def main(port: int, target: str, state: Path, speed: float) -> None:
    """Watch until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    estimates = EstimatesConfig(
        windows_seconds={"1m": 60 / speed, "5m": 300 / speed},
        demand_window_seconds=120 / speed,
        scale_up_seconds=600 / speed,
        state_file=state,
    )
    watched = TargetConfig("engine", target, max_num_seqs=SEATS, max_num_batched_tokens=BUDGET)
    config = ValidatedConfig(ServerConfig("127.0.0.1", port), ScrapeConfig(0.2), estimates, targets=(watched,))
    await Daemon(lambda: config).run(stop)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])))
