"""The state file and what is kept in it."""
