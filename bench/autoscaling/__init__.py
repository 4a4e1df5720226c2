"""What an autoscaler makes of kvwatch's numbers, and what it makes of the numbers people scale vLLM by today.

Simulated engines in virtual time behind a load balancer, replicas that take minutes to start, and faithful models of
the two autoscalers. Each policy runs over a range of its own target, so that policies are compared at equal GPU-hours.

=============  =====================================================================================================
``hpa``        the HorizontalPodAutoscaler's algorithm: ratio, tolerance, missing metrics, stabilisation, rate limits
``keda``       KEDA on top of it: activation, cooldown, missing values, fallback
``cluster``    pods from pending to gone, which of them go first, and who gets the next request
``scenarios``  traffic over hours: a day, ramps, bursts, steps, steady load
``policies``   what is scaled by what, with the targets to sweep
``watcher``    kvwatch's core and what a Prometheus has stored of it and of the engines
``simulate``   one policy in one scenario
``score``      late requests, GPU-hours, flaps; equal GPU-hours by interpolation
``store``      outcomes on disk
``report``     table and picture
=============  =====================================================================================================
"""
