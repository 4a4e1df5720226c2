"""How right the service rate is: against recordings of a real vLLM, and against simulated engines.

    python -m bench.accuracy [--jobs N] [--only PART …] [--every N] [--held-out] [--names known|alias|both]
                             [--rebuilt FOLDER …] [RECORDING_FOLDER …]

What is true of a simulated engine shares no constant and no formula with what estimates it, but for the model of
vLLM's scheduler (``kvwatch.embedded``), which is held against a real one elsewhere; a test keeps it so.

``step_physics``  what a step does with its time: reading weights, experts and KV cache, arithmetic, host
``routing``       which experts a step reads, where some are more popular than others
``nature``        what nobody knows beforehand, drawn for each engine from ranges with their sources
``true_clock``    the duration of each step: its physics, noise, pauses and gaps
``hardware``      GPUs and dense models, from data sheets
``moe_systems``   servers of mixtures of experts, as measured by others
``workloads``     pools of requests, drawn from independently
``engines``       the seeded design of dense engines: hardware × workload × law × settings
``base_engines``  dense engines that hide or show the base of steps with prompts
``moe_engines``   mixtures of experts: each system under each mix
``saturated``     what a true engine serves when it is kept full
``simulate``      a true engine under rising loads, kept on disk as a ``trace`` of ``snapshot`` rows
``watcher``       a fleet that watches one engine
``cases``         one engine at one load: what was said against what is true
``sweep``         all engines of a design, under their models' names and under an alias
``drive``         an engine and its watcher in step, for restarts and changes in mid-run
``changes``       those
``crowded``       engines that serve less with all seats taken, and what cap is recommended
``recordings``    recordings of a real vLLM
``rebuilt``       recordings rebuilt from public traces of real GPUs, from a path
``summary``       errors, coverage and bounds of many cases
``report``        Markdown
``results``       results on disk, by part

A third of the systems and of the mixes is held out by name, and never tuned on: it is scored with ``--held-out`` only.
"""
