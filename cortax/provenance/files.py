"""Digests of input files, remembered as long as a file is provably the same."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from cortax.errors import InputError
from cortax.provenance.memory import Memory

__all__ = ["DigestMemory", "file_digest", "text_digest"]

# A file changed within this many nanoseconds before it was digested may change once more without
# its time stamps moving (they tick every few milliseconds, on some file systems every two seconds).
RACY_NS = 2_500_000_000


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class DigestMemory:
    """File digests, remembered by path, size, both time stamps and inode.

    `ctime` is part of it because no program can set it: a file that was changed and given its old
    modification time back is digested again. A file changed less than 2.5 seconds before it was
    digested is not remembered.

    Parameters
    ----------
    path : path
        Where they are remembered, see `Memory`.

    Attributes
    ----------
    n_read : int
        How many files had to be read so far.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._memory = Memory(Path(path))
        self.n_read = 0

    def __call__(self, path: str | os.PathLike[str]) -> str:
        """Return the file's SHA-256, reading it only when it may have changed."""
        key = os.path.abspath(path)
        try:
            stat = os.stat(key)
        except OSError as error:
            raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._memory.get(key)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        before = time.time_ns()
        digest = file_digest(key)
        self.n_read += 1
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < before - RACY_NS:
            self._memory.note(key, [*stamp, digest])
        return digest

    def save(self) -> None:
        """Write what was learnt since the last save."""
        self._memory.save()
