"""Opening files that may be missing, empty, cut short or something else than their name says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cortax.errors import CortaxError, InputError
from cortax.provenance.files import file_digest

__all__ = ["DamagedFileError", "ends_with", "file_bytes", "opened", "reading_once"]

_bytes_read: ContextVar[dict[Path, bytes] | None] = ContextVar("_bytes_read", default=None)


class DamagedFileError(InputError):
    """A file is missing, empty, cut short or not in the format that its name promises.

    Apart from other input errors because one subject's damaged file need not stop a cohort.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@contextmanager
def opened(path: Path, what: str) -> Iterator[None]:
    """Name the file in every error that reading it can raise.

    Parameters
    ----------
    path : Path
        Checked to be a file with content before the body runs.
    what : str
        What the file should be, for the message: "GIFTI file".

    Raises
    ------
    DamagedFileError
        Missing, empty, or the body failed. Errors of cortax and a lack of memory pass through.
    """
    if not path.is_file():
        link = "a link that leads nowhere: its content was not fetched?" if path.is_symlink() else "missing file"
        raise DamagedFileError(path, "is a folder" if path.is_dir() else link)
    if path.stat().st_size == 0:
        raise DamagedFileError(path, "empty file (0 bytes)")
    try:
        yield
    except (CortaxError, MemoryError):
        raise
    except Exception as error:
        # Parsers raise whatever a damaged byte leads them to: the kind says nothing, the file does.
        first_line = next(iter(str(error).splitlines()), "")
        raise DamagedFileError(path, f"not a readable {what} ({type(error).__name__}: {first_line})") from error


def file_bytes(path: Path) -> bytes:
    """Read a whole file; within `reading_once` only the first time."""
    read = _bytes_read.get()
    if read is None:
        return path.read_bytes()
    if path not in read:
        read[path] = path.read_bytes()
    return read[path]


@contextmanager
def reading_once() -> Iterator[Callable[[Path], str]]:
    """Keep what `file_bytes` reads, and yield what gives the SHA-256 of a file: of the very bytes that were parsed.

    Otherwise a file that is changed while it is read, and changed back, has the digest that was expected and other
    content. Of files that were read in another way, such as images, it is the digest of what they hold when asked.
    """
    read: dict[Path, bytes] = {}
    token = _bytes_read.set(read)
    try:
        yield lambda path: hashlib.sha256(read[path]).hexdigest() if path in read else file_digest(path)
    finally:
        _bytes_read.reset(token)


def ends_with(path: Path, *suffixes: str) -> bool:
    """Whether the file's name ends with one of `suffixes`, in any case."""
    return path.name.lower().endswith(suffixes)
