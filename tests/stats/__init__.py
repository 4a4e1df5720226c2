"""The streaming estimators against their batch formulas."""
