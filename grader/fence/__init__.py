"""A fence for code that students hand in: their process sees little, reaches nobody, and ends."""
