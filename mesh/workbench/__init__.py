"""The engineer's workbench: what a change of configuration would do, before it is made.

``xds_diff`` compares what every proxy would be sent, ``questions`` finds requests that a
configuration tells apart, ``trial`` sends them to a mesh of each engine.  ``meshctl diff`` shows it.
"""
