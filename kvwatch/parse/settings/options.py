"""The options of a server, by name → its settings: of ``vllm serve``, Dynamo's vLLM worker, and SGLang."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.sizes import share_in, size_in, truth_in

_SEATS = ("max_num_seqs", "max_running_requests")
"""vLLM's name, then SGLang's."""
_BUDGET = ("max_num_scheduled_tokens", "max_num_batched_tokens", "chunked_prefill_size")
"""What vLLM schedules at most, what that is made from, and SGLang's name."""
_LENGTH = ("max_model_len", "context_length")
_WORKERS = (("tensor_parallel_size", "tp", "tp_size"), ("pipeline_parallel_size", "pp", "pp_size"))


def settings_from_options(options: Mapping[str, object], source: SettingSource, *, complete: bool) -> Settings:
    """Settings from options by their names, with underscores for hyphens; a value may be a text.

    ``complete`` says that all options are there, so that what is missing has its default.
    """
    unread = any(name in options and size_in(options[name]) is None for name in (*_SEATS, *_BUDGET))
    workers = [size_in(value) for names in _WORKERS if (value := _first(options, names)) is not None]
    return Settings(
        max_num_seqs=size_in(_first(options, _SEATS)),
        max_num_batched_tokens=size_in(_first(options, _BUDGET)),
        max_model_len=size_in(_first(options, _LENGTH)),
        source=source,
        # one that cannot be read has some other value than the default; and a mode may multiply the default
        complete=complete and not unread and options.get("performance_mode") != "throughput",
        device="cpu" if options.get("device") == "cpu" else None,
        world_size=prod(known) if (known := [w for w in workers if w is not None]) else None,
        prefill_schedule_interval=size_in(options.get("prefill_schedule_interval")),
        watermark_ratio=share_in(options.get("watermark")),
        async_scheduling=truth_in(options.get("async_scheduling")),
        enable_prefix_caching=truth_in(options.get("enable_prefix_caching")),
    )


def _first(options: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((options[name] for name in names if name in options), None)
