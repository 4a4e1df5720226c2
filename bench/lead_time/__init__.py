"""How long before a queue grows for good kvwatch pages, how often it pages for nothing, and what rivals do.

Simulated fleets in virtual time: vLLM's scheduler with its queue, kvwatch's core that scrapes it, and a Prometheus
that scrapes both. One evaluator of rules judges the alert file that ships and the rules people write today.

==============  ====================================================================================================
``engines``     the simulated engines: small ones, so that thousands of hours are affordable
``scenarios``   what happens to them: ramps, days, bursts, other mixes, slower steps, steady loads
``simulate``    one case in virtual time, down to what a Prometheus would have stored
``trace``       what it stored, kept on disk
``truth``       when the queue begins to grow for good
``promql``      expressions over what is stored, for all evaluation times at once
``rules``       rule files: recording rules, alerts with ``for`` and ``keep_firing_for``
``judge``       pages against the truth: lead, misses, false pages
``report``      tables and pictures
==============  ====================================================================================================
"""
