"""Figures, not tests: what a hop costs, how fast a mesh is ready, what it weighs (``make bench``).

CPU per request is the headline, because on a shared machine it is the steadiest figure.
Variants run in turn within one run; medians and ratios are printed, and written to
``runs/bench/latest.json``.
"""
