"""The planned engine as a live or recorded server showed it."""

from __future__ import annotations

from kvwatch.core.capacity.correction import FullEngineRun
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.planning.engine import Basis, Known, PlannedEngine
from kvwatch.views import EngineView


def measured_engine(inputs: FullEngineInputs, view: EngineView) -> PlannedEngine:
    """The engine whose rate is the one that ``view`` says.

    Raises:
        ValueError: too little was seen of it to plan with; the message says what is missing.
    """
    made = FullEngineRun(inputs).experiment()
    said = view.service_rate
    if made is None or said.value is None:
        why = said.verdict.words if said.verdict is not None else "too little was seen of it"
        raise ValueError(f"what it sustains is not known: {why}")
    engine = PlannedEngine(tuple(made.pool), made.settings, made.law)
    model = engine.full().throughput_rps
    settings = ", ".join(f"{name} {shown.value} ({shown.source})" for name, shown in sorted(view.settings.items()))
    lengths = inputs.mix
    return PlannedEngine(
        engine.pool,
        engine.settings,
        engine.law,
        factor=said.value / model,
        lower_ratio=(said.lower or said.value) / said.value,
        upper_ratio=(said.upper or said.value) / said.value,
        basis=(
            Basis(
                "traffic",
                f"prompts of {lengths.prompt_tokens.mean():.0f} and outputs of {lengths.output_tokens.mean():.0f} "
                f"tokens in the mean, of {lengths.demand.requests:.0f} requests",
                Known.MEASURED,
            ),
            Basis("step time", f"{made.load.step_seconds * 1e3:.1f} ms when full", Known.MEASURED),
            Basis("KV memory", f"{inputs.kv_tokens:.0f} tokens", Known.MEASURED),
            Basis("settings", settings or "none known", Known.MEASURED),
        ),
    )
