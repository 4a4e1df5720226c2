"""Gives back what was known before a restart, and saves what is known: the core's state, positions in logs, counters.

A checkpoint is put together on the event loop, where all of these are changed, one target after the other: within a
target without a pause, so that what has been counted and learnt from its logs is what was read up to its positions.
After a crash the lines after them are read again, into a state that does not have them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec
import orjson

from kvwatch.core.kept import StateError
from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.otlp.limits import SeenSpans
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state.departed import Departed, DepartedTargets
from kvwatch.shell.state.file import Checkpoint, StateFile
from kvwatch.shell.tail import Positions
from kvwatch.shell.tasks import sleep
from kvwatch.shell.threads import in_daemon_thread

SAVE_SECONDS = 60.0
SAVE_WITH_LOGS_SECONDS = 5.0
"""Time between checkpoints while logs are followed: what a crash makes kvwatch read twice is that much at most."""
_PAUSE_RATIO = 10.0
"""Where many targets make a checkpoint take long, the next one comes after so many times that long."""


class StateKeeper:
    """Between what is known and the state file; without a file it does nothing."""

    def __init__(  # noqa: PLR0913, PLR0917 (one for each thing that is kept, and the time)
        self,
        intake: Intake,
        file: StateFile | None,
        metrics: SelfMetrics | None = None,
        positions: Positions | None = None,
        spans: SeenSpans | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._intake = intake
        self._file = file
        self._metrics = metrics if metrics is not None else SelfMetrics()
        self._positions = positions if positions is not None else Positions()
        self._spans = spans if spans is not None else SeenSpans()
        self._clock = clock
        saved = file.load() if file is not None else Checkpoint()
        counters: dict[str, Any] = {}
        self._took = 0.0
        try:
            self._positions.restore(saved.positions)
            counters = saved.counters  # of use with the positions only
        except StateError as error:
            event(logging.WARNING, "positions_rejected", why=str(error), effect="logs are read from their end")
        try:
            self._spans.restore(saved.spans)
        except StateError as error:
            event(logging.WARNING, "spans_rejected", why=str(error), effect="a span sent again counts twice")
        self._intake.restore_models(saved.models)
        self._departed = DepartedTargets()
        parts = {
            "settings": saved.settings,
            "counters": counters,
            "positions": dict.fromkeys(self._positions.dump(), True),
        }
        self._departed.load(saved.engines, parts, saved.seen, clock())

    def restore(self, target: str) -> None:
        """Give a target that has just been added what is kept of it, once."""
        left = self._departed.take(target)
        if left is None:
            return
        states = orjson.loads(left.engines) if left.engines else []
        if states and self._intake.restore(target, states, self._clock()):
            event(logging.INFO, "state_restored", target=target, engines=len(states))
        settings = _settings(left.parts.get("settings"))
        if settings is not None:
            self._intake.observe(target, settings)
        counters = left.parts.get("counters")
        if isinstance(counters, dict):
            self._metrics.restore(target, counters)

    def keep(self, target: str) -> None:
        """Keep what is known of a target that is about to be removed, should it come back."""
        parts: dict[str, Any] = {}
        settings = self._intake.settings_from_log(target)
        if settings is not None:
            parts["settings"] = asdict(settings)
        if self._positions.dump(target):
            parts |= {"positions": True, "counters": self._metrics.dump(target).get(target, {})}
        engines = self._intake.dump_target(target)
        if engines or parts:
            left = Departed(self._clock(), orjson.dumps(engines) if engines else b"", parts)
            self._forget(self._departed.put(target, left, len(self._intake)))

    def _forget(self, targets: list[str]) -> None:
        for target in targets:
            self._positions.keep_only(target, set())

    def save(self) -> None:
        """Save everything now, with what was saved before of targets that are not watched now."""
        if self._file is not None:
            self._saved(self._file.save(self._checkpoint()))

    def _saved(self, done: bool) -> None:
        self._metrics.count("kvwatch_state_saves_total", "success" if done else "failure")
        if done:
            self._metrics.put("kvwatch_state_last_save_timestamp_seconds", value=time.time())

    async def keep_saving(self) -> None:
        """Save every minute, or every few seconds while logs are followed, for ever; no disk is waited for here."""
        file = self._file
        if file is None:
            await asyncio.Event().wait()
            return
        waited = 0.0
        while True:
            pause = max(SAVE_WITH_LOGS_SECONDS, self._took * _PAUSE_RATIO)
            await sleep(pause)
            waited += pause
            if self._positions or waited >= SAVE_SECONDS:
                waited = 0.0
                checkpoint = await self._gathered()
                self._saved(await in_daemon_thread(partial(file.write, file.encode(checkpoint)), "kvwatch-state"))

    async def _gathered(self) -> Checkpoint:
        """A checkpoint put together target by target, between which others have their turn."""
        self._forget(self._departed.expire(self._clock()))
        engines: dict[str, Any] = self._departed.engines()
        positions = self._positions.dump()
        counters: dict[str, Any] = {**self._departed.part("counters"), **self._metrics.dump()}
        settings: dict[str, Any] = self._departed.part("settings")
        seen: dict[str, Any] = self._departed.seen()
        loop = asyncio.get_running_loop()
        self._took = 0.0
        for target in self._intake.targets():
            begun = loop.time()
            # encoded at once, which keeps less and takes no longer
            engines[target] = orjson.Fragment(orjson.dumps(self._intake.dump_target(target)))
            positions |= self._positions.dump(target)
            counters |= self._metrics.dump(target)
            settings |= self._settings_of(target)
            self._took += loop.time() - begun
            await asyncio.sleep(0)
        return Checkpoint(engines, positions, counters, settings, self._spans.dump(), seen, self._intake.dump_models())

    def _settings_of(self, target: str) -> dict[str, Any]:
        """By the target's name what its log has said of its settings; nothing where it has said nothing."""
        settings = self._intake.settings_from_log(target)
        return {target: asdict(settings)} if settings is not None else {}

    def _checkpoint(self) -> Checkpoint:
        self._forget(self._departed.expire(self._clock()))
        return Checkpoint(
            engines={**self._departed.engines(), **self._intake.dump()},
            positions=self._positions.dump(),
            counters={**self._departed.part("counters"), **self._metrics.dump()},
            settings={
                **self._departed.part("settings"),
                **{key: value for target in self._intake.targets() for key, value in self._settings_of(target).items()},
            },
            spans=self._spans.dump(),
            seen=self._departed.seen(),
            models=self._intake.dump_models(),
        )


def _settings(found: object) -> Settings | None:
    """Settings as they were saved; ``None`` for what cannot be any."""
    if not isinstance(found, dict):
        return None
    found = found | {"expert_ratio": None, "source": SettingSource.LOG.value}  # what else there is, others tell again
    try:
        settings = msgspec.convert(found, Settings)
    except msgspec.ValidationError:
        return None
    sizes = (
        settings.max_num_seqs,
        settings.max_num_batched_tokens,
        settings.max_model_len,
        settings.world_size,
        settings.own_budget_tokens,
        settings.prefill_schedule_interval,
    )
    share = settings.watermark_ratio
    can_be = all(size is None or size > 0 for size in sizes) and (share is None or 0 <= share < 1)
    return settings if can_be else None
