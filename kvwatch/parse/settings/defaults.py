"""What vLLM's API server takes for seats and token budget where it is given neither, by the device it runs on.

Read in ``get_batch_defaults`` and its predecessors in vllm/engine/arg_utils.py of 0.11.0, 0.17.1 and 0.32.0. They
differ in that the last one has a class of its own for GPUs of 160 GiB and more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CPU = "cpu"
GPU = "gpu"
"""Some GPU, nobody says which."""
GPU_SMALL = "gpu_small"
"""Less than 70 GiB, or an A100."""
GPU_LARGE = "gpu_large"
"""70 GiB or more, such as an H100."""
GPU_LARGEST = "gpu_largest"
"""160 GiB or more, such as a B200."""

_SMALL_SEATS = 256
"""Seats on a small GPU [requests]. Data sheet: vLLM 0.32, engine/arg_utils.py, get_batch_defaults."""
_SMALL_BUDGET = 2048
"""Token budget of a small GPU [tokens]. Data sheet: the same."""
_LARGE_SEATS = 1024
"""Seats on a large GPU [requests]. Data sheet: the same."""
_LARGE_BUDGET = 8192
"""Token budget of a large GPU [tokens]. Data sheet: the same."""
_LARGEST_BUDGET = 16_384
"""Token budget of a GPU of 160 GiB and more [tokens]. Data sheet: the same."""
_CPU_SEATS = 128
"""Seats of a CPU for each worker [requests]. Data sheet: the same."""
_CPU_BUDGET = 2048
"""Token budget of a CPU for each worker [tokens]. Data sheet: the same."""

_LARGEST_SINCE = "0.32"
"""The version in which the largest GPUs were seen to have a budget of their own."""
_LARGEST_NAMES = ("b200", "b300", "gb200", "gb300", "mi325", "mi350", "mi355", "mi300")
_LARGE_NAMES = ("h100", "h200", "h800", "h20", "a800", "gh200", "80gb", "96gb", "rtx pro 6000", "mi250")
_SMALL_NAMES = (
    "a100",
    "a10",
    "a16",
    "a30",
    "a40",
    "l4",
    "l20",
    "l40",
    "t4",
    "v100",
    "p100",
    "geforce",
    "a6000",
    "a5000",
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """Seats [requests] and token budget [tokens] that a class of devices gets."""

    device: str
    max_num_seqs: int
    max_num_batched_tokens: int


def possible_defaults(
    device: str | None, world_size: int | None = None, version: str | None = None
) -> tuple[Defaults, ...]:
    """What a server may have taken by itself, as far as its device and version are known; fewest seats first."""
    workers = world_size or 1
    if device == GPU_LARGEST and not _has_class_of_largest(version):
        return possible_defaults(GPU_LARGE) + possible_defaults(GPU_LARGEST, version=_LARGEST_SINCE)
    table = (
        Defaults(CPU, _CPU_SEATS * workers, _CPU_BUDGET * workers),
        Defaults(GPU_SMALL, _SMALL_SEATS, _SMALL_BUDGET),
        Defaults(GPU_LARGE, _LARGE_SEATS, _LARGE_BUDGET),
        Defaults(GPU_LARGEST, _LARGE_SEATS, _LARGEST_BUDGET),
    )
    if device is None:
        return table
    return tuple(row for row in table if row.device == device or (device == GPU and row.device != CPU))


def _has_class_of_largest(version: str | None) -> bool:
    """Whether a version is surely as new as the one in which that class was read."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version or "", re.ASCII)
    return match is not None and (int(match[1]), int(match[2])) >= (0, 32)


def device_class(name: str) -> str:
    """The class of a GPU by its name, such as "NVIDIA H100 80GB HBM3"; :data:`GPU` where the name is not known.

    An A100 of 80 GiB counts as small: vLLM asks for the name too.
    """
    name = name.lower()
    if "a100" in name:
        return GPU_SMALL
    for device, names in ((GPU_LARGEST, _LARGEST_NAMES), (GPU_LARGE, _LARGE_NAMES), (GPU_SMALL, _SMALL_NAMES)):
        if any(part in name for part in names):
            return device
    return GPU
