"""What was found out before and may be used again: files that prove themselves, or are made anew.

None of them holds a result. One that is not what was written (cut, edited, a folder in its place, of another version)
is set aside, with one line; all that costs is time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Memory", "set_aside", "write_text"]


class Memory:
    """Values by text, such as digests by path, in a file that begins with a digest of its content.

    Parameters
    ----------
    path : Path
        Of the file, which is read at once; there may be none yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, False
        self._known: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            head, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            set_aside(self._path, str(error.strerror))
            return {}
        if head.decode(errors="replace") != _digest(body):
            set_aside(self._path, "not what was written")
            return {}
        known: dict[str, Any] = json.loads(body)
        return known

    def get(self, key: str) -> Any:
        """Return what is known, as JSON gives it back; None of what is not."""
        return self._known.get(key)

    def note(self, key: str, value: Any) -> None:
        """Note what JSON can hold; kept by `save`."""
        self._known[key], self._new = value, True

    def save(self) -> None:
        """Write what was noted since the last save; where that cannot be written, it is found out anew each time."""
        if not self._new:
            return
        body = json.dumps(self._known)
        with contextlib.suppress(OSError):
            write_text(self._path, f"{_digest(body.encode())}\n{body}")
        self._new = False


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def set_aside(path: Path, why: str) -> None:
    """Give a file that is no good, or what lies in its place, another name beside it, and say so."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    with contextlib.suppress(OSError):
        path.replace(aside)
        print(f"cortax: {path}: {why}; set aside as {aside.name}, and made anew", file=sys.stderr, flush=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole file, or nothing. What is in its place and no file is set aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        set_aside(path, "a folder where a file should be")
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
