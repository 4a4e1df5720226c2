"""How right the service rate is: against recordings of a real vLLM, and against simulated engines.

    python -m bench.accuracy [--quick] [--jobs N] [--only PART …] [RECORDING_FOLDER …]

``hardware``    step laws and memory of GPUs, from data sheets
``workloads``   pools of requests, drawn from independently
``true_clock``  how long steps of the true engine take: what an affine law cannot be
``engines``     the seeded design: hardware × workload × law × settings
``saturated``   what a true engine serves when it is kept full
``drive``       a true engine under load, scraped once a second, and a fleet that watches it
``cases``       one engine at one load: what was said against what is true
``recordings``  the same for recordings
``changes``     restarts and changes in mid-run
``summary``     errors, coverage and bounds of many cases
``report``      Markdown and JSON
"""
