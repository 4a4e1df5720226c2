"""Minutes of the daemon on a simulated fleet that goes wrong all the time: its memory must be flat."""
