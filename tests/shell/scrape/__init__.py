"""Scrapes of servers that behave, and of those that do not: one file for each way."""
