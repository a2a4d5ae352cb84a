"""Recorded observations and the statistics that judge them."""
