"""Tests of following log files."""
