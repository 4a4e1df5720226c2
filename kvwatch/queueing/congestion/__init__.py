"""Congestion that serving itself creates: requests admitted together grow together and are evicted together.

``survival``   what a mean admission still holds a number of steps later, and the eviction-free equilibrium
``stability``  whether a wave of admissions grows: the dominant root of the survival polynomial, and its interval
``roots``      that root, with a bound on its error
``winding``    how many roots lie within a circle or a sector

Source: Ao, Dong, Luo, Simchi-Levi, "Service-Induced Congestion in Memory-Constrained LLM Serving", arXiv 2606.15555.
"""
