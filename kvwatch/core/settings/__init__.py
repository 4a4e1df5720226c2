"""Seats, token budget and longest request of an engine: what is said of them, held against what the metrics show."""
