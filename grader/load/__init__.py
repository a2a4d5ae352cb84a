"""Locust, in a process of its own: a plan goes in, observations come out."""
