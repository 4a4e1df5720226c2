"""Bytes in, facts out: what vLLM exposes, its settings and request logs, read without I/O and without a clock.

Nothing here raises for what the input holds: it comes from outside and may be damaged or hostile.
"""
