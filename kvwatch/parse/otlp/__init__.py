"""OpenTelemetry's traces: an export of spans in protobuf or JSON, read into the requests that vLLM's spans tell of."""
