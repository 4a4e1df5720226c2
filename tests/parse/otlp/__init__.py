"""Exports of spans."""
