"""Tests of kvwatch.core.pool."""
