"""Digests of what is installed: a version says what a package should be, its files what it is."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import urllib.parse
from collections.abc import Iterator

from cortax.provenance.closure.places import home
from cortax.provenance.files import file_digest, text_digest
from cortax.provenance.memory import Memory

__all__ = ["installed_digest"]

# Path in the package, path, size, time stamps.
_File = tuple[str, str, int, int, int]


@functools.cache
def installed_digest(distribution: str) -> str:
    """Return a digest of the files of an installed distribution; nothing where there is no list of them.

    Files are those of its RECORD, or of its folder where it is installed to be edited. Tests and bytecode do not count,
    nor do the files that say who installed it when. They are read once: afterwards their sizes and time stamps, which
    the user's cache or the project's remembers, say whether they are the same.
    """
    found = importlib.metadata.distribution(distribution)
    files = sorted(_edited_files(found)) or sorted(_recorded_files(found))
    if not files:
        return ""
    stamp = text_digest(json.dumps(files))
    known = _known()
    before = known.get(distribution)
    if before is None or before[0] != stamp:
        lines = [f"{file_digest(path)} {name}\n" for name, path, *_ in files]
        before = [stamp, text_digest("".join(lines))[:16]]
        known.note(distribution, before)
        known.save()
    return str(before[1])


def _recorded_files(found: importlib.metadata.Distribution) -> Iterator[_File]:
    base = str(found.locate_file(""))
    for line in (found.read_text("RECORD") or "").splitlines():
        # `importlib.metadata` takes ten times as long to read it.
        name = line.rsplit(",", 2)[0].strip('"')
        if not (name.startswith(("..", "/")) or ".dist-info/" in name):
            yield from _stamped(name, os.path.join(base, name))


def _edited_files(found: importlib.metadata.Distribution) -> Iterator[_File]:
    """Yield the files of a folder that pip was told to install as it is."""
    try:
        told = json.loads(found.read_text("direct_url.json") or "{}")
        editable, url = told["dir_info"]["editable"], urllib.parse.urlparse(told["url"])
    except (ValueError, KeyError, TypeError):
        return
    if not editable or url.scheme != "file":
        return
    root = urllib.parse.unquote(url.path)
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "build", "dist")))
        for name in names:
            if name.endswith((".py", ".so", ".json", ".npy", ".npz", ".csv", ".txt")):
                path = os.path.join(folder, name)
                yield from _stamped(os.path.relpath(path, root), path)


def _stamped(name: str, path: str) -> Iterator[_File]:
    if name.endswith(".pyc") or "/tests/" in name:
        return
    with contextlib.suppress(OSError):  # a file that is gone is missing in the digest
        stat = os.stat(path)
        yield name, path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@functools.cache
def _known() -> Memory:
    return Memory(home() / "packages.json")
