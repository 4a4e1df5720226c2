"""Reads one target over HTTP: its metrics on a steady grid, and its settings now and then."""
