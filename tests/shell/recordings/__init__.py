"""Recordings, written and replayed."""
