"""The Flask applications of the course: customer -> preference -> recommendation."""
