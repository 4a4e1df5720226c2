"""A day in virtual time with a fault in every minute: nothing fails, nobody is paged for nothing, no number is old.

==========  ===========================================================================================
``faults``  what becomes of the pages of a server: some fifty faults, drawn by chance
``server``  the server: an embedded engine under the load of a day, which may be killed
``day``     kvwatch that scrapes it, is killed and stopped itself, and what a Prometheus stores of it
``judge``   the numbers against the truth, and the pages of the rules that ship
==========  ===========================================================================================
"""
