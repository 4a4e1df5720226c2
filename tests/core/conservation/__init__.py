"""Tests of kvwatch.core.conservation."""
