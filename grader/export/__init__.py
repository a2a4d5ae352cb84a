"""Marks for other systems: gradebooks, autograders, continuous integration."""
