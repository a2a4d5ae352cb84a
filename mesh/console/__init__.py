"""The console: a live page about one running mesh, for lectures and for looking around.

``guard`` decides who may ask, ``source`` reads and changes the mesh, the ``*_view`` modules turn
what it says into what the page shows (pure functions), ``layout`` and ``callbacks`` are the page.
Shown by ``meshctl console`` (``make console``).
"""
