"""The receiver of traces, against real senders."""
