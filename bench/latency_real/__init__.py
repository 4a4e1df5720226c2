"""Predicted latency against what a real vLLM showed: ``python -m bench.latency_real [FOLDER …]``.

``observed``    quantiles of a phase of a recording, from the server's own histograms
``__main__``    the command: replays recordings, compares, and writes the table

A run made for this, five loads of ten minutes each on a quiet machine, and one at 0.9 and 1.15 of the rate that is
said to meet a target:

    python -m bench.record_real small-mixed --output DIR --loads 0.3 0.45 0.6 0.75 0.85 --seconds 600
    python -m bench.record_real small-mixed --output OTHER --rates 4.5 5.75 --seconds 600
"""
