"""What the scheduler is configured with, and what a request asks of it."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_BLOCK_TOKENS = 16
"""Tokens of a block where nothing else is known [tokens]. Data sheet: vLLM 0.32, config/cache.py."""
_DEFAULT_MAX_NUM_SEQS = 256
"""Seats of an engine whose settings name none [requests]. Data sheet: vLLM 0.32, engine/arg_utils.py, API server on a
GPU of less than 70 GiB."""
DEFAULT_MAX_NUM_BATCHED_TOKENS = 2048
"""Token budget of such an engine [tokens]. Data sheet: vLLM 0.32, engine/arg_utils.py, the same case."""
_DEFAULT_MAX_MODEL_LEN = 4096
"""Longest sequence of such an engine [tokens]. Choice: vLLM takes the model's own, and there is no model here; longer
than any request of the scenarios."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """The settings of a vLLM engine that decide who runs.

    Attributes:
        num_blocks: KV-cache blocks, the null block included (vLLM's ``num_gpu_blocks``).
        block_size_tokens: Tokens a block holds.
        max_num_seqs: Seats: requests that may run at once.
        max_num_batched_tokens: Token budget of one step, prefill and decode together.
        max_model_len: Longest sequence in tokens; a request's output is cut to fit.
        enable_prefix_caching: Whether blocks are found again by their hash.
        watermark_ratio: Share of all blocks that an admission must leave free.
        reserve_full_sequence: Whether an admission needs free blocks for the whole known sequence, not only
            for its first chunk (vLLM's ``scheduler_reserve_full_isl``).
    """

    num_blocks: int
    block_size_tokens: int = DEFAULT_BLOCK_TOKENS
    max_num_seqs: int = _DEFAULT_MAX_NUM_SEQS
    max_num_batched_tokens: int = DEFAULT_MAX_NUM_BATCHED_TOKENS
    max_model_len: int = _DEFAULT_MAX_MODEL_LEN
    enable_prefix_caching: bool = False
    watermark_ratio: float = 0.0
    reserve_full_sequence: bool = True

    def __post_init__(self) -> None:
        """Refuse what vLLM refuses.

        Raises:
            ValueError: A size is not positive, the watermark is negative, or the budget is below the seats.
        """
        for name in ("block_size_tokens", "max_num_seqs", "max_num_batched_tokens", "max_model_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.num_blocks < 2:
            raise ValueError(f"num_blocks is {self.num_blocks}; one is the null block, so at least 2 are needed")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) is below max_num_seqs ({self.max_num_seqs});"
                " every running request needs one token a step"
            )
        if self.watermark_ratio < 0:
            raise ValueError(f"watermark_ratio is {self.watermark_ratio}; it must not be negative")

    @classmethod
    def from_capacity(  # noqa: PLR0913 (one for each setting)
        cls,
        kv_capacity_tokens: int,
        *,
        block_size_tokens: int = DEFAULT_BLOCK_TOKENS,
        max_num_seqs: int = _DEFAULT_MAX_NUM_SEQS,
        max_num_batched_tokens: int = DEFAULT_MAX_NUM_BATCHED_TOKENS,
        max_model_len: int | None = None,
        enable_prefix_caching: bool = False,
    ) -> SchedulerSettings:
        """Settings for a usable capacity M in tokens (the null block not counted).

        ``max_model_len`` defaults to M: every request that fits at all is accepted.
        """
        usable_blocks = max(kv_capacity_tokens // block_size_tokens, 1)
        return cls(
            num_blocks=usable_blocks + 1,
            block_size_tokens=block_size_tokens,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max(max_num_batched_tokens, max_num_seqs),
            max_model_len=usable_blocks * block_size_tokens if max_model_len is None else max_model_len,
            enable_prefix_caching=enable_prefix_caching,
        )

    @property
    def usable_blocks(self) -> int:
        """Blocks that requests can hold: all but the null block."""
        return self.num_blocks - 1

    @property
    def kv_capacity_tokens(self) -> int:
        """M, the tokens that requests can hold."""
        return self.usable_blocks * self.block_size_tokens

    @property
    def watermark_blocks(self) -> int:
        """Blocks that an admission must leave free while anything runs."""
        return int(self.watermark_ratio * self.num_blocks)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """How long a request is, in tokens.

    Attributes:
        prompt_tokens: Whole prompt, the shared prefix included.
        output_tokens: Tokens to generate; generation never stops earlier.
        shared_prefix_tokens: Leading tokens of the prompt that are the same in all requests of ``prefix_id``.
        prefix_id: Names the shared prefix.
    """

    prompt_tokens: int
    output_tokens: int
    shared_prefix_tokens: int = 0
    prefix_id: int = 0

    def __post_init__(self) -> None:
        """Refuse lengths that no engine accepts.

        Raises:
            ValueError: A length is below one, or the prefix is longer than the prompt.
        """
        if self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError(f"a request needs at least one token each way: {self}")
        if not 0 <= self.shared_prefix_tokens <= self.prompt_tokens:
            raise ValueError(f"the shared prefix must lie within the prompt: {self}")
