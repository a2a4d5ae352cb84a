"""A graded run as a terminal report, a result file and (later) HTML."""
