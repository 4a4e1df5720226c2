"""The core over the past of many servers: each server by itself, in any process, in a folder that outlives a kill.

From the bottom up: what is on disk (``parts``), where scrapes come from (``sources``), one server from its scrapes to
its estimates (``estimate``), all of them side by side (``side_by_side``), and the rules over what came out
(``evaluate``, ``user_rules``).
"""
