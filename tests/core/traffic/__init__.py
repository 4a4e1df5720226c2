"""Tests of kvwatch.core.traffic."""
