"""What alerts would have done in the past, held against what happened: pure, from series to a report.

==============  ====================================================================================================
``spells``      stretches of time in which something holds
``timeline``    what is watched of a model, for the judgement and for the plots
``incidents``   when requests waited, and how badly
``judge``       pages against incidents: before, after, for nothing
``coarse``      what scrapes that are seconds apart cost
``report``      everything that is reported, as one value, and as JSON
``words``       the sentences of it
``markdown``    the report to paste
``plot``        curves as SVG
``lead_chart``  when each queue was paged about, as SVG
``charts``      which curves are drawn of what
``html``        the report as one page
==============  ====================================================================================================
"""
