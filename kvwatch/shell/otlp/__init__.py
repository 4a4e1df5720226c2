"""Takes traces: the receiver of OTLP over HTTP and gRPC, with what its senders may cost."""

from kvwatch.shell.otlp.receiver import MissingExtraError, TraceReceiver, TraceSettings

__all__ = ["MissingExtraError", "TraceReceiver", "TraceSettings"]
