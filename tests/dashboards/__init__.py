"""Tests of the dashboards: what they query, and that it is there."""
