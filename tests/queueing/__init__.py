"""The formulas of queueing theory against printed numbers and brute force."""
