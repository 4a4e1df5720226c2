"""The state machines: facts in, views out. No I/O, no clock."""
