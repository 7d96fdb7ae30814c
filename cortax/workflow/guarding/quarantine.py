"""Quarantine: files that were in the way are moved there, with a note of why; nothing is deleted."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path

__all__ = ["Quarantine", "quarantine_folder"]


def quarantine_folder(root: Path) -> Path:
    """Return the folder that holds all quarantines of a project."""
    return root / ".cortax" / "quarantine"


class Quarantine:
    """A folder for what one repair of a project takes away; made when it is needed.

    Attributes
    ----------
    folder : Path
        Named by the time, in UTC. Files have the same relative paths as in the project; `what.txt` has the notes.
    """

    def __init__(self, root: Path) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        self._root = root.resolve()
        self.folder = quarantine_folder(root) / now.strftime("%Y%m%dT%H%M%S.%f")

    def move(self, path: Path, why: str) -> None:
        """Move a file or folder here, if it exists."""
        if os.path.lexists(path):
            shutil.move(path, self._place(path, why))

    def keep(self, path: Path, content: bytes, why: str) -> None:
        """Write a copy of a file, or of a part of it, here."""
        self._place(path, why).write_bytes(content)

    def _place(self, path: Path, why: str) -> Path:
        # Workdir and sockets may lie outside of the project.
        inside = path.is_relative_to(self._root)
        place = self.folder / (path.relative_to(self._root) if inside else Path(*path.parts[-3:]))
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "what.txt", "a") as notes:
            notes.write(f"{path}: {why}\n")
        return place
