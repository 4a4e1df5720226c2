"""A discrete-event model of vLLM's scheduler: the demo's engine, the tests' instrument, the planner's what-if.

Nothing here does I/O, reads a clock or draws from a global random source: time and seeds are arguments.

``settings``    what the scheduler is configured with, and what a request asks for
``prefix_cache`` paged blocks: reference counts, block hashes, the queue of free blocks
``scheduler``   one engine step after another
``step_law``    how long a step takes
``saturation``  the scheduler kept full, as fast as possible, for its means
``workload``    seeded streams of requests
``engine``      scheduler, law and workload in virtual time, counting as vLLM counts
``exposition``  those counts as vLLM's ``/metrics`` text
``scenarios``   named workloads
"""
