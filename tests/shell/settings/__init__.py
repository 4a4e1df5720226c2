"""Tests of :mod:`kvwatch.shell.settings`."""
