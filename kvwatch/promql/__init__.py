"""Prometheus' rules, evaluated over stored series without a Prometheus: what it would have recorded and fired.

For a backtest, which asks what alerts would have done in the past: no Prometheus evaluates rules backwards. Nothing
here does I/O. What rules have not needed yet is refused by name; what is there is tested against a real Prometheus.

==============  ====================================================================================================
``labels``      what names a series
``series``      stored series, and their values at evaluation times
``functions``   functions of vectors and ranges
``matching``    operators between vectors
``evaluation``  an expression, for all evaluation times at once
``rules``       a rule file: recording rules, alerts with ``for`` and ``keep_firing_for``
``firing``      when the alerts of a file fire, stretch of time after stretch of time
==============  ====================================================================================================
"""
