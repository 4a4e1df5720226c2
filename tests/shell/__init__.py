"""The I/O, against real sockets and files."""
