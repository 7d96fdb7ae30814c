"""What a study's own code reads besides what it imports by name: a helper chosen at run time, a table beside the code.

No look at the source tells of that. So the processes that run such code watch it: an audit hook of Python sees every
file that is opened, and `os.environ` tells which variables are looked up. A file of the project that is opened while
own code is at work, and a variable that own code asks for, are noted with a digest of what they held. The notes become
part of the job's record, and a build does not reuse a job of which such a file or variable has changed.

Own code is what lies in the project's folder, but for `cortax`, `methods` and installed packages. Files outside of the
project, what libraries in C open by themselves (HDF5, Parquet) and what they ask the environment for are not seen: such
files a study names in `reads` of its pipeline.
"""

from __future__ import annotations

import _collections_abc
import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

from cortax.errors import InputError, ProjectError
from cortax.provenance.closure.sources import is_promised, source_digest
from cortax.provenance.files import file_digest, text_digest

__all__ = [
    "changed_reads",
    "changed_variables",
    "digest_of_read",
    "forget",
    "keep_in",
    "noted",
    "read_sink",
    "sink",
    "watch",
]

# Of the project's folder: neither own code nor what that reads.
_OTHERS = (".", "cortax/", "methods/", "workdirs/", "results/", "urd.db")
_MISSING = "missing"
# A variable is noted by its name after this, as shells write it.
_VARIABLE = "$"
# What says how a build works, or which terminal it was started from: no result depends on it.
_NO_INPUT = re.compile(r"(CORTAX|AX|BD|XDG|SSH)_.*|.*_NUM_THREADS|PWD|OLDPWD|SHLVL|_|TERM|COLUMNS|LINES")
_LOOKUPS = (os.__file__, "<frozen os>", "<frozen _collections_abc>", _collections_abc.__file__, __file__)
_PROVENANCE = f"{Path(__file__).parent}/"


@dataclass
class _Watch:
    """The reads of this process, and of those that it was forked from."""

    root: str = ""  # ends with a slash; empty as long as nothing is watched
    seen: dict[str, set[str]] = field(default_factory=dict)  # path in the project, or variable -> digests
    stamps: set[tuple[str, object]] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)  # variables that this process has set itself
    listens: bool = False  # hooks of Python cannot be taken off again
    sink: Path | None = None


_watch = _Watch()
_inside = threading.local()


def watch(root: Path) -> None:
    """Note from now on what own code of a project reads in this process, and in its forks."""
    if not _watch.listens:
        _watch.listens = True
        sys.addaudithook(_hear)
        _watch_variables()
    _watch.root = f"{root.resolve()}/"


def keep_in(sink: Path) -> None:
    """Add to a file, too, what is noted from now on in this process and its forks; a job reads it when it ends."""
    _watch.sink = sink


def sink() -> Path | None:
    """Return the file that reads are added to, if there is one."""
    return _watch.sink


def forget() -> None:
    """Forget what was noted; for tests, which run many jobs in one process."""
    _watch.seen, _watch.stamps, _watch.assigned, _watch.sink = {}, set(), set(), None


def noted() -> dict[str, str]:
    """Return the digest of each file of the project, and of each variable, that own code has read in this job.

    Files by their paths in the project, variables of the environment as "$NAME".

    Raises
    ------
    ProjectError
        One was another for one part of the job than for another.
    """
    seen = {path: set(digests) for path, digests in _watch.seen.items()}
    for path, digest in read_sink(_watch.sink):
        seen.setdefault(path, set()).add(digest)
    if mixed := sorted(path for path, digests in seen.items() if len(digests) > 1):
        raise ProjectError(
            f"{', '.join(mixed)}: changed while the job ran that reads it, or workers have others; build again"
        )
    return {path: next(iter(digests)) for path, digests in sorted(seen.items())}


def read_sink(sink: Path | None) -> list[tuple[str, str]]:
    """Return path and digest of what processes of a job have noted; a line that a dying process left half is none."""
    if sink is None or not sink.exists():
        return []
    found = []
    for line in sink.read_text(errors="replace").splitlines():
        try:
            path, digest = json.loads(line)
        except ValueError:
            continue
        found.append((path, digest))
    return found


def changed_reads(reads: Mapping[str, str] | Iterable[tuple[str, str]], root: Path) -> list[str]:
    """Return the files and variables that are not what they were when they were read, in order."""
    pairs = reads.items() if isinstance(reads, Mapping) else reads
    return sorted({name for name, digest in pairs if _digest_now(name, root) != digest})


def changed_variables(reads: Mapping[str, str], root: Path) -> list[str]:
    """Return the variables of these that have another value in this process than where they were read, in order."""
    return [name for name in changed_reads(reads, root) if name.startswith(_VARIABLE)]


def _digest_now(name: str, root: Path) -> str:
    return _digest_of_variable(name[1:]) if name.startswith(_VARIABLE) else digest_of_read(root / name)


def _digest_of_variable(name: str) -> str:
    # The value itself may be a secret.
    return text_digest(os.environ[name]) if name in os.environ else _MISSING


def digest_of_read(path: Path) -> str:
    """Return a digest of a file: of its code, without comments, where it is Python; a word where there is no file."""
    try:
        source = path.read_bytes() if path.suffix == ".py" else b""
    except OSError:
        return _MISSING
    if source:
        with suppress(ProjectError):  # it does not parse: its bytes count
            return source_digest(source, str(path))
    try:
        return file_digest(path)
    except InputError:
        return _MISSING


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or getattr(_inside, "busy", False):
        return
    path, mode, flags = arguments
    if isinstance(path, int) or path is None or not _is_read(mode, flags):
        return
    _inside.busy = True
    try:
        name = os.path.abspath(os.fsdecode(path))
        if not (inside := _own(name)) or "__pycache__" in inside or is_promised(name):
            return  # what import statements lead to is in manifests, of those that need it
        if _own_code_is_at_work(sys._getframe(1)):
            _note(inside, Path(name))
    finally:
        _inside.busy = False


def _watch_variables() -> None:
    """Have `os.environ` tell of every lookup, which `get`, `os.getenv` and `in` are, and of every change."""
    kind = cast(Any, type(os.environ))
    look_up, assign, delete = kind.__getitem__, kind.__setitem__, kind.__delitem__

    def heard_look_up(self: Any, key: Any) -> Any:
        _hear_variable(key)
        return look_up(self, key)

    def heard_assign(self: Any, key: Any, value: Any) -> None:
        assign(self, key, value)
        _watch.assigned.add(os.fsdecode(key))

    def heard_delete(self: Any, key: Any) -> None:
        delete(self, key)
        _watch.assigned.add(os.fsdecode(key))

    kind.__getitem__, kind.__setitem__, kind.__delitem__ = heard_look_up, heard_assign, heard_delete


def _hear_variable(key: Any) -> None:
    if not isinstance(key, str | bytes) or getattr(_inside, "busy", False):
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename in _LOOKUPS:
        frame = frame.f_back
    # Whoever asks itself: what a library asks for, called by own code, says how the library works.
    name = os.fsdecode(key)
    if frame is None or not _own(frame.f_code.co_filename) or name in _watch.assigned or _NO_INPUT.fullmatch(name):
        return
    _inside.busy = True
    try:
        digest = _digest_of_variable(name)
        _keep(_VARIABLE + name, digest, digest)
    finally:
        _inside.busy = False


def _is_read(mode: str | None, flags: int) -> bool:
    return "r" in mode if mode else flags & os.O_ACCMODE != os.O_WRONLY


def _own(name: str) -> str:
    """Return the path in the project of what belongs to its own code, or may be read by it; else nothing."""
    root = _watch.root
    if (
        not root
        or not name.startswith(root)
        or (inside := name[len(root) :]).startswith(_OTHERS)
        or "/site-packages/" in inside
    ):
        return ""
    return f"./{inside}" if inside.startswith(_VARIABLE) else inside


def _own_code_is_at_work(frame: FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_PROVENANCE):
            return False  # own methods have their sources digested, which reads them
        if _own(name):
            return True
        frame = frame.f_back
    return False


def _note(inside: str, path: Path) -> None:
    if path.is_dir():
        return
    try:
        stat = path.stat()
        stamp: object = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError:
        stamp = None
    if (inside, stamp) not in _watch.stamps:
        _keep(inside, stamp, digest_of_read(path))


def _keep(name: str, stamp: object, digest: str) -> None:
    if (name, stamp) in _watch.stamps:
        return
    _watch.stamps.add((name, stamp))
    _watch.seen.setdefault(name, set()).add(digest)
    if _watch.sink is not None:
        _append(_watch.sink, json.dumps([name, digest]) + "\n")


def _append(sink: Path, line: str) -> None:
    try:
        # One write: lines of several processes do not mix.
        file = os.open(sink, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
    except OSError as error:
        raise ProjectError(f"{sink}: what the study's own code reads cannot be noted ({error})") from error
