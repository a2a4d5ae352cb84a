"""Feedback that a student can act on: a page with pictures and their text, JSON, plain text."""
