"""The embedded engine to the outside: served over HTTP in wall-clock time, or written as a recording."""
