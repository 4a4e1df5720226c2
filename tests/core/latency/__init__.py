"""Tests of kvwatch.core.eviction."""
