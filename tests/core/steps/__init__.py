"""Tests of kvwatch.core.steps."""
