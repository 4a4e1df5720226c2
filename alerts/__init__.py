"""Recording rules and alerts, built from Python: ``python -m alerts`` writes ``kvwatch.rules.yaml`` beside this."""
