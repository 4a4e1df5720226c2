"""Requests that are evicted and computed again: waves of them, what they cost, and what to set."""
