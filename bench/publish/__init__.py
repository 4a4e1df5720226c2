"""Every figure in README, docs and results pages, written from results, so that none outlives the code behind it.

``marks``      figures in a text: ``<!--=NAME-->…<!--/-->`` is filled with the figure of that name
``figures``    all figures by name
``recorded``   those from the recordings of a real vLLM
``measured``   those of what kvwatch itself costs
``simulated``  those from the benches' committed results
``pages``      the results pages and pictures, from their JSON

``python -m bench.publish`` writes them all, and a test compares. cog (cogapp) does the same for whole lines, with the
Python in the text; here the figures stand within sentences, and the sentence stays in the text.
"""
