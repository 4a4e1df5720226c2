"""Tests of kvwatch.core.capacity."""
