"""The real daemon with all its times divided: `python -m tests.e2e.watcher PORT TARGET STATE SPEED SEATS BUDGET`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from kvwatch.config import EstimatesConfig, ScrapeConfig, ServerConfig, TargetConfig, ValidatedConfig
from kvwatch.daemon import Daemon


async def main(port: int, watched: TargetConfig, state: Path, speed: float) -> None:
    """Watch until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    estimates = EstimatesConfig(
        windows_seconds={"1m": 60 / speed, "5m": 300 / speed},
        demand_window_seconds=120 / speed,
        scale_up_seconds=600 / speed,
        state_file=state,
    )
    config = ValidatedConfig(ServerConfig("127.0.0.1", port), ScrapeConfig(6 / speed), estimates, targets=(watched,))
    await Daemon(lambda: config).run(stop)


if __name__ == "__main__":
    at, url, file, fold, *limits = sys.argv[1:]
    seats, budget = map(int, limits)
    target = TargetConfig("engine", url, max_num_seqs=seats, max_num_batched_tokens=budget)
    asyncio.run(main(int(at), target, Path(file), float(fold)))
