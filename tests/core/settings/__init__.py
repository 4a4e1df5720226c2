"""Tests of :mod:`kvwatch.core.settings`."""
