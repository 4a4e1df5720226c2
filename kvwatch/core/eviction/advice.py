"""What to set, in words: the congestion that was found, and what would end it."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.core.eviction.seat_search import LEAST_GAIN_RATIO, WATERMARK_RATIO, Prescription
from kvwatch.core.eviction.wave import Congestion
from kvwatch.queueing.congestion.stability import UNSTABLE_ABOVE


def advice(congestion: Congestion, prescription: Prescription | None, max_num_seqs: int | None) -> tuple[str, ...]:
    """Sentences, the most useful first; none where there is nothing to say."""
    return (*_diagnosis(congestion), *_remedies(congestion, prescription, max_num_seqs))


def _diagnosis(c: Congestion) -> Iterator[str]:
    if c.wave is not None:
        yield (
            f"Requests are evicted in waves: the running batch swings with a period of {c.wave.period:.0f} engine"
            f" steps, {c.wave.amplitude_ratio:.0%} around its mean (standard deviation)."
        )
    if c.loss_ratio is not None and c.loss_ratio >= LEAST_GAIN_RATIO and c.preemptions_per_finished:
        yield (
            f"{c.preemptions_per_finished:.2f} evictions for each finished request cost about {c.loss_ratio:.0%} of the"
            " throughput."
        )


def _remedies(c: Congestion, p: Prescription | None, seats: int | None) -> Iterator[str]:
    """Lengths are blamed only for a wave that is seen and that they surely let grow: many that could, make none."""
    if p is None:
        return
    if p.crowding is not None:
        best, most = p.crowding.best, p.crowding.highest
        yield (
            f"More requests at once serve less here, although KV memory has room: {most.sequences:.0f} decoding at once"
            f" made {most.rate:.0f} tokens a second, {best.sequences:.0f} made {best.rate:.0f}."
        )
    if p.max_num_seqs is not None and p.gain_ratio is not None:
        yield (
            f"Restart it with --max-num-seqs {p.max_num_seqs} (now {seats}): about {p.gain_ratio:+.0%} throughput at"
            f" full load, at least {p.gain_lower or 0.0:+.0%} at 90% confidence, for the traffic as it is now."
        )
    if p.watermark_gain_ratio >= LEAST_GAIN_RATIO:
        let = "Let" if p.max_num_seqs is None else "Or let"
        yield (
            f"{let} admissions leave {WATERMARK_RATIO:.0%} of the KV cache free, --watermark {WATERMARK_RATIO:g} in a"
            f" vLLM that has it: about {p.watermark_gain_ratio:+.0%}, and it adapts to other traffic by itself."
        )
    if c.wave is not None and c.stability is not None and c.stability.growth_lower > UNSTABLE_ABOVE:
        yield (
            f"Requests are too much alike: a wave grows {c.stability.growth:.1f}-fold in a mean lifetime. Starts that"
            " are spread out in time, and classes of other lengths mixed into the same replica, weaken it."
        )
