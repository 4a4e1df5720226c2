"""Tests of :mod:`kvwatch.parse.settings`."""
