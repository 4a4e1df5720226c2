"""Formulas of queueing theory for an engine whose server is its KV memory; numbers in, numbers out."""
