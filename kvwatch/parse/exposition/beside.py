"""Settings that somebody else shows beside a server's own metrics.

Dynamo's frontend has gauges of what its workers were started with, and calls the model by a label of its own, whose
value it may spell in small letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SETTINGS = {
    "dynamo_frontend_model_max_num_seqs": "max_num_seqs",
    "dynamo_frontend_model_max_num_batched_tokens": "max_num_batched_tokens",
}
"""Names of gauges, and the fields of :class:`~kvwatch.facts.EngineSample` that they are."""
_MODEL_LABELS = ("model", "model_name")

Shown = tuple[str, int, Mapping[str, str]]
"""A series: its name, its slot, its labels."""


def settings_of(model: str, shown: Sequence[Shown]) -> tuple[tuple[str, int, float], ...]:
    """Of one model each setting that has one series: its field, its slot, its lowest sensible value."""
    found: dict[str, list[int]] = {}
    for name, slot, labels in shown:
        named = next((labels[label] for label in _MODEL_LABELS if labels.get(label)), "")
        if named.casefold() == model.casefold():
            found.setdefault(SETTINGS[name], []).append(slot)
    return tuple((field, slots[0], 1.0) for field, slots in found.items() if len(slots) == 1)
