"""What the lecturer's notebooks are written with: a mesh in a cell, live figures, slides.

    from mesh.notebook import open_classroom
    mesh = open_classroom()
    mesh.apply(CANARY)
    mesh.send(200, show=versions)

``make notebooks`` opens them; they need the requirements' groups ``console`` and ``notebooks``.
"""

from mesh.notebook.classroom import Classroom, ClassroomError, open_classroom
from mesh.notebook.traffic import Seen

__all__ = ["Classroom", "ClassroomError", "Seen", "open_classroom"]
