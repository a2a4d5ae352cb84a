"""The autograder: load (Locust), evidence (statistics), checks, verdicts, reports."""
