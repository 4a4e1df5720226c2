"""What it costs a backtest that a Prometheus scrapes seldom: simulated ramps, scraped each second and then thinned out.

The backtest's own code estimates and judges them. What comes out is told by its reports, from ``coarse.json`` in the
package.
"""
