"""Conformance: behaviour as data, run on both engines, which must agree.

A case file says what a mesh consists of, how it is configured, what is sent, and what must come
of it (``tests/conformance/README.md``).  ``case`` reads it, ``run`` runs it on a testbed,
``observe`` brings what happened into a comparable form, ``expect`` judges it, ``compare`` holds
the two engines against each other.  Shown by ``meshctl conform``.
"""
