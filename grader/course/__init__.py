"""A whole course: intake, queue, evidence and marks of every submission."""
