"""What goes wrong in production, done on purpose: a file for each party that does it."""
