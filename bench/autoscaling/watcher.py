"""kvwatch's core over the pods of a Deployment, and what a Prometheus has stored of it and of the engines."""

from __future__ import annotations

from collections.abc import Sequence

from bench.accuracy.drive import engine_sample
from bench.accuracy.engines import TrueEngine
from bench.autoscaling.cluster import COLD_START_SECONDS, Pod
from bench.autoscaling.policies import Seen
from kvwatch.core.capacity.correction import Correction, FullEngineRun
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Scrape, ScrapeFailed

SCRAPE_SECONDS = 15.0
"""Of kvwatch: fifteen times its default, which costs it accuracy and spares this bench most of its time."""
MODEL_SECONDS = 300.0
"""Between two runs of the embedded engine. Replicas are alike, so one run serves all; kvwatch itself runs it for each,
and more often."""
_EPOCH = 1_750_000_000.0


class Watcher:
    """A fleet that scrapes each pod from the moment its containers run until it is gone."""

    def __init__(self, engine: TrueEngine, target_utilization: float) -> None:
        self._told = engine.told
        self._fleet = Fleet(
            CoreOptions(
                scrape_interval_seconds=SCRAPE_SECONDS,
                target_utilization=target_utilization,
                scale_up_seconds=sum(COLD_START_SECONDS) / 2,
            )
        )
        self.unreachable: set[str] = set()
        """Names of pods whose scrapes fail from now on."""
        self._known: set[str] = set()
        self._model: tuple[float, Correction | None] = (float("-inf"), None)

    def scrape(self, now: float, pods: Sequence[Pod]) -> None:
        """Scrape all pods that run."""
        names = {p.name for p in pods if p.running_at <= now}
        for name in sorted(names - self._known):
            self._fleet.add(name, self._told)
        for name in sorted(self._known - names):
            self._fleet.remove(name)
        self._known = names
        for pod in pods:
            if pod.name not in names:
                continue
            if pod.engine is None or pod.name in self.unreachable:
                self._fleet.observe(pod.name, ScrapeFailed(_EPOCH + now, "connect"))
                continue
            sample = engine_sample(pod.engine)
            fact = Scrape(_EPOCH + now, (sample,), process_start=_EPOCH + pod.engine.started)
            self._fleet.observe(pod.name, fact)

    def refresh(self, now: float) -> None:
        """Make the runs of the embedded engine that are due, or take what the last one said.

        The search for a better ``max_num_seqs`` is left out: nothing here depends on it.
        """
        for name, key, job in self._fleet.take_due_runs(_EPOCH + now):
            if not isinstance(job, FullEngineRun):
                continue
            if now - self._model[0] >= MODEL_SECONDS or self._model[1] is None:
                self._model = (now, job.run())
            self._fleet.correct(name, key, self._model[1])

    def seen(self, now: float) -> tuple[dict[str, float], dict[str, float], float | None]:
        """ρ over a minute and over five by pod, and the replicas that the model requires."""
        view = self._fleet.view(_EPOCH + now)
        utilization = {
            e.target: e.utilization.value["1m"] for t in view.targets for e in t.engines if "1m" in e.utilization.value
        }
        longer = {
            e.target: e.utilization.value.get("5m", e.utilization.value["1m"])
            for t in view.targets
            for e in t.engines
            if "1m" in e.utilization.value
        }
        return utilization, longer, next((m.replicas_required for m in view.models), None)


def stored(now: float, pods: Sequence[Pod], watcher: Watcher | None) -> Seen:
    """What Prometheus holds after scraping at ``now``; pods on their way out are still scraped."""
    up = [p for p in pods if p.engine is not None]
    waiting = {p.name: float(p.engine.counters.waiting) for p in up if p.engine is not None}
    kv_usage = {p.name: p.engine.counters.kv_usage_ratio for p in up if p.engine is not None}
    utilization, longer, required = ({}, {}, None) if watcher is None else watcher.seen(now)
    return Seen(waiting, kv_usage, utilization, longer, required)
