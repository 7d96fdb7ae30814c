"""Where things go that were in the way: nothing is thrown away, and a note says what it was."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path

__all__ = ["Quarantine", "quarantine_folder", "replace_text"]


def quarantine_folder(root: Path) -> Path:
    """Return the folder that holds all quarantines of a project."""
    return root / ".cortax" / "quarantine"


class Quarantine:
    """A folder for what one look at a project found in the way; made when it is needed.

    Attributes
    ----------
    folder : Path
        Named by the time, in UTC. In it, things lie as they did in the project, beside `what.txt`.
    """

    def __init__(self, root: Path) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        self._root = root.resolve()
        self.folder = quarantine_folder(root) / now.strftime("%Y%m%dT%H%M%S.%f")

    def move(self, path: Path, why: str) -> None:
        """Move a file or folder here; what is not there need not be moved."""
        if os.path.lexists(path):
            shutil.move(path, self._place(path, why))

    def keep(self, path: Path, content: bytes, why: str) -> None:
        """Keep a part of a file here."""
        self._place(path, why).write_bytes(content)

    def _place(self, path: Path, why: str) -> Path:
        # Workdir and sockets may lie outside of the project.
        inside = path.is_relative_to(self._root)
        place = self.folder / (path.relative_to(self._root) if inside else Path(*path.parts[-3:]))
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "what.txt", "a") as notes:
            notes.write(f"{path}: {why}\n")
        return place


def replace_text(path: Path, text: str) -> None:
    """Write a file such that it is whole whenever somebody looks, and on disk before it takes the old one's place."""
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copymode(path, temporary)
    temporary.replace(path)
