"""What an engine step does with its time: the truth about step times, stated without any law of kvwatch's.

A step reads weights, computes tokens, reads the KV cache, and keeps the host busy. Reading and computing go on side by
side to a degree that differs from engine to engine; mixtures of experts read the experts that their tokens choose;
decoding steps run in CUDA graphs of certain sizes; and some costs grow faster than what causes them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from bench.accuracy.routing import Routing

GRAPH_SIZES = (1, 2, 4, *range(8, 257, 8), *range(272, 513, 16))
"""Decode batch sizes for which vLLM captures CUDA graphs by default. [definition: vLLM 0.32, CompilationConfig]"""


@dataclass(frozen=True, slots=True)
class StepPhysics:
    """Where the time of a step goes; seconds. Bends are relative, reached at ``full_sequences`` and the like.

    Attributes:
        host_seconds: Host, launches and all-reduces of a step, hidden behind nothing.
        weight_seconds: Reading the weights that every step reads.
        sequence_seconds: Host and sampling for a decoding sequence.
        token_seconds: Arithmetic of one token.
        resident_seconds: Reading the KV cache of one resident token.
        decode_share: Share of a token's arithmetic that shows for a decoding sequence although weights are being read.
        overlap: How well reading weights and the arithmetic of prompts go on side by side: (rᵠ + aᵠ)^(1/ᵠ), a smooth
            maximum; None: one after the other.
        sharpness: The same exponent for decoding sequences' own arithmetic against reading the weights.
        expert_seconds: Reading the weights of all experts; 0 without.
        routing: Which of them a step reads.
        eager_seconds: What a step with prompt tokens takes longer because it leaves the CUDA graph.
        padded: Whether decoding steps are as long as those of the next captured graph.
        decode_bend: How much more a decoding sequence costs in a full batch.
        attention_bend: How much more a resident token costs when the KV cache is as full as it gets.
        prompt_bend: How much more a prompt token costs in a step that uses the whole token budget.
        interference: How much more a prompt token costs beside a full batch of decoding sequences.
        full_sequences: Decoding sequences of a full engine.
        full_tokens: Resident tokens of a full engine.
        budget_tokens: Token budget of a step.
    """

    host_seconds: float
    weight_seconds: float
    sequence_seconds: float
    token_seconds: float
    resident_seconds: float
    decode_share: float = 0.0
    overlap: float | None = None
    sharpness: float = 8.0
    expert_seconds: float = 0.0
    routing: Routing | None = None
    eager_seconds: float = 0.0
    padded: bool = False
    decode_bend: float = 0.0
    attention_bend: float = 0.0
    prompt_bend: float = 0.0
    interference: float = 0.0
    full_sequences: float = 1.0
    full_tokens: float = 1.0
    budget_tokens: float = 1.0

    def seconds(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> float:
        """Duration of a step without noise, pauses and gaps."""
        batch = decoding
        if self.padded and not prefill_tokens:
            place = bisect_left(GRAPH_SIZES, decoding)
            batch = GRAPH_SIZES[place] if place < len(GRAPH_SIZES) else decoding
        reading = self.weight_seconds
        if self.routing is not None:
            reading += self.expert_seconds * self.routing.read_share(batch + prefill_tokens)
        own = self.token_seconds * batch
        fullness = decoding / self.full_sequences
        if self.overlap is None:
            prompt = self.token_seconds * prefill_tokens
            prompt *= 1 + self.prompt_bend * prefill_tokens / self.budget_tokens + self.interference * fullness
            work = smooth_maximum(reading + self.decode_share * own, own, self.sharpness) + prompt
        else:
            work = smooth_maximum(reading, own + self.token_seconds * prefill_tokens, self.overlap)
        return (
            self.host_seconds
            + (self.eager_seconds if prefill_tokens else 0.0)
            + work
            + self.sequence_seconds * batch * (1 + self.decode_bend * fullness)
            + self.resident_seconds * resident_tokens * (1 + self.attention_bend * resident_tokens / self.full_tokens)
        )


def smooth_maximum(one: float, other: float, exponent: float) -> float:
    """(oneᵠ + otherᵠ)^(1/ᵠ): between their sum (exponent 1) and the larger of the two (infinite)."""
    larger, smaller = max(one, other), min(one, other)
    return larger * (1 + (smaller / larger) ** exponent) ** (1 / exponent) if larger else 0.0
