"""The commands of ``meshctl``, one file each; ``mesh.cli`` lists them.

A command imports what is heavy (the testbed, Istio's models) inside its function, so that
``meshctl --help`` is there at once.
"""
