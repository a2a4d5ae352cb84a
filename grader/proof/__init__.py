"""The grader proves itself: wrong answers it must catch, right ones it must not touch."""
