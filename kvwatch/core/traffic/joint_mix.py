"""The traffic's mix where a request log shows it: exact lengths instead of ones made from moments."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.traffic.joint_sample import JointSample
from kvwatch.core.traffic.mix import Mix, sharing_ratio
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.queueing.demand import block_demand, mean_computed


def joint_mix(demand: DemandEstimates, joint: JointSample, block_tokens: int, chunk_tokens: int) -> Mix:
    """The mix of a log's requests; ``demand`` is what the metrics say, who alone know of hits in the prefix cache."""
    m = joint.moments
    cached = demand.cached_ratio or 0.0
    steps = joint.chunks + m.mean_o - 1
    # sharing is found by holding the lengths' E[g] against occupancy: here the lengths' is the log's
    exact = replace(
        demand,
        by_method={**demand.by_method, "moments": joint.demand},
        requests=joint.requests,
        moments=m,
        steps=steps,
        compute_tokens=mean_computed(m, cached),
    )
    sharing = sharing_ratio(exact)
    g = block_demand(joint.prompt_tokens, joint.output_tokens, block_tokens, chunk_tokens)
    prefix_tokens = round(cached * m.mean_s * sharing / block_tokens) * block_tokens
    return Mix(
        demand=replace(exact, by_method={**demand.by_method, "joint": joint.demand}),
        prompt_tokens=joint.prompt_tokens,
        output_tokens=joint.output_tokens,
        prefix_tokens=prefix_tokens,
        held=joint.demand,
        deviation=float(g.std()) / float(g.mean()) / max(joint.requests, 1.0) ** 0.5,
        sharing=sharing,
    )
