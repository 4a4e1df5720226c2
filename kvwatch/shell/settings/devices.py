"""What a server on this host runs on, as far as the kernel tells without a library of its maker."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kvwatch.parse.settings.defaults import CPU, GPU, device_class

_DEVICES = ("kfd", "accel", "davinci*", "habanalabs*", "neuron*", "dxg")
"""Device files of accelerators other than NVIDIA's."""


def device_of(proc: Path, dev: Path = Path("/dev")) -> str | None:
    """The class of the host's GPUs; ``cpu`` where there is none of any maker, ``None`` where they differ."""
    names = set()
    with suppress(OSError):
        for file in sorted((proc / "driver" / "nvidia" / "gpus").glob("*/information")):
            names.add(_model(file.read_text(encoding="utf-8", errors="replace")))
    if names:
        classes = {device_class(name) for name in names}
        return classes.pop() if len(classes) == 1 else GPU
    nvidia = (proc / "driver" / "nvidia").exists() or (dev / "nvidiactl").exists()
    if nvidia:
        return GPU
    return None if any(any(dev.glob(pattern)) for pattern in _DEVICES) else CPU


def _model(information: str) -> str:
    """The name in ``Model: NVIDIA H100 80GB HBM3``."""
    for line in information.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip()
    return ""
