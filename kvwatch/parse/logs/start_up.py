"""The lines that a vLLM writes when it starts → the settings that came to hold.

The first one has the arguments that were given; what they leave out has its default. Later ones show what became of
them. Forms of vLLM 0.8 to 0.32.
"""

from __future__ import annotations

import re

from kvwatch.facts import Settings, SettingSource

_NUMBER = rb"['\"]?(?:=|: ?)(\d{1,10})\b"
_SEATS = re.compile(rb"\bmax_num_seqs" + _NUMBER)
_BUDGET = re.compile(rb"\bmax_num_batched_tokens" + _NUMBER)
_CONTEXT = re.compile(rb"\bmax_model_len" + _NUMBER)
_CONFIG_CONTEXT = re.compile(rb"\bmax_seq_len" + _NUMBER)
_WORKERS = (re.compile(rb"\btensor_parallel_size=(\d{1,5})\b"), re.compile(rb"\bpipeline_parallel_size=(\d{1,5})\b"))
_DEVICE = re.compile(rb"\bdevice_config=(cpu|cuda)\b")
_DEVICES = {b"cpu": "cpu", b"cuda": "gpu"}
"""vLLM's names of devices, and those of :mod:`kvwatch.parse.settings.defaults`; ROCm calls itself cuda too."""
_VERSION = re.compile(rb"Initializing a V\d LLM engine \(v([\w.+-]{1,64})\)")
_INTERVAL = re.compile(rb"\bprefill_schedule_interval" + _NUMBER)
_WATERMARK = re.compile(rb"\bwatermark['\"]?(?:=|: ?)(0?\.\d{1,6})\b")
_CACHING = re.compile(rb"\benable_prefix_caching['\"]?(?:=|: ?)(True|False)\b")
_ASYNC = re.compile(rb"\basync_scheduling['\"]?(?:=|: ?)(True|False)\b")
_DEFAULTING = re.compile(rb"Defaulting (max_num_seqs|max_num_batched_tokens) to (\d{1,10}) for ", re.ASCII)
_USING_CONTEXT = re.compile(rb"Using max model len (\d{1,10})\Z", re.ASCII)
_SCHEDULED = re.compile(rb"max_num_scheduled_tokens is set to (\d{1,10})\b", re.ASCII)
_THROUGHPUT = re.compile(rb"\bperformance_mode['\"]?(?:=|: ?)['\"]?throughput")
_STARTS = (b"non-default args: ", b"args: Namespace(")
_CHUNKED = b"Chunked prefill is enabled with max_num_batched_tokens"


class StartUp:
    """What the start-up lines of one server have shown so far."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._scheduled: int | None = None
        """The budget that speculative decoding leaves, whichever line comes first."""
        self._budget_given = False

    def read(self, message: bytes) -> Settings | None:
        """The settings that are known now, if the message has changed them."""
        before = self._settings
        if message.startswith(_STARTS):
            # a server starts: what the one before it was given is no longer true
            self._scheduled, self._budget_given = None, _BUDGET.search(message) is not None
            self._settings = _given(message)
            return self._settings
        found = self._later(message)
        if found is None:
            return None
        self._settings = found.over(before)
        return self._settings if self._settings != before else None

    def _later(self, message: bytes) -> Settings | None:
        if message.startswith(b"Initializing a V"):
            return _initialized(message)
        if message.startswith(_CHUNKED):
            budget = _positive(_BUDGET.search(message))
            own = None if self._budget_given else budget
            return Settings(None, self._scheduled or budget, source=SettingSource.LOG, own_budget_tokens=own)
        if (match := _SCHEDULED.match(message)) is not None:
            self._scheduled = _positive(match)
            return Settings(None, self._scheduled, source=SettingSource.LOG)
        if (match := _DEFAULTING.match(message)) is not None:
            seats, size = match[1] == b"max_num_seqs", int(match[2]) or None
            budget = None if seats else self._scheduled or size
            return Settings(size if seats else None, budget, None, SettingSource.LOG)
        match = _USING_CONTEXT.match(message)
        return Settings(None, None, _positive(match), SettingSource.LOG) if match is not None else None


def _given(message: bytes) -> Settings:
    """The arguments that a server was started with; the first line of each start."""
    watermark = _WATERMARK.search(message)
    return Settings(
        _positive(_SEATS.search(message)),
        _positive(_BUDGET.search(message)),
        _positive(_CONTEXT.search(message)),
        SettingSource.LOG,
        complete=_THROUGHPUT.search(message) is None,  # which multiplies what a device's defaults are
        prefill_schedule_interval=_positive(_INTERVAL.search(message)),
        watermark_ratio=float(watermark[1]) if watermark is not None else None,
        async_scheduling=_truth(_ASYNC.search(message)),
        enable_prefix_caching=_truth(_CACHING.search(message)),
    )


def _initialized(message: bytes) -> Settings:
    """The engine's own line: what it runs on, and how it is spread."""
    workers = [int(match[1]) for match in (one.search(message) for one in _WORKERS) if match is not None]
    device, version = _DEVICE.search(message), _VERSION.match(message)
    return Settings(
        max_model_len=_positive(_CONFIG_CONTEXT.search(message)),
        source=SettingSource.LOG,
        device=_DEVICES[device[1]] if device is not None else None,
        world_size=workers[0] * workers[1] or None if len(workers) == len(_WORKERS) else None,
        version=version[1].decode("ascii") if version is not None else None,
        enable_prefix_caching=_truth(_CACHING.search(message)),
    )


def _positive(match: re.Match[bytes] | None) -> int | None:
    return int(match[1]) or None if match is not None else None


def _truth(match: re.Match[bytes] | None) -> bool | None:
    return match[1] == b"True" if match is not None else None
