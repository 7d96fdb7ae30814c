"""Source files: their digests, what they import, and whether what is loaded is what was digested."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cortax.errors import ProjectError
from cortax.provenance.closure.places import code_files, home
from cortax.provenance.files import DigestMemory
from cortax.provenance.memory import Memory

__all__ = [
    "Source",
    "check_loaded",
    "edited_files",
    "is_promised",
    "look_at",
    "promise",
    "save_sources",
    "source_digest",
]

_Stamp = tuple[int, int, int, int]


class Source(NamedTuple):
    """A module's source.

    Attributes
    ----------
    sha256 : str
        Of its bytes.
    digest : str
        See `source_digest`.
    imports : list of str
        Every dotted name that it may import.
    """

    sha256: str
    digest: str
    imports: list[str]


def _stamp(path: str) -> _Stamp | None:
    # Editors keep dangling links (`.#name.py`) and files that are gone the next moment.
    with contextlib.suppress(FileNotFoundError):
        stat = os.stat(path)
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
    return None


# `methods/__init__.py` imports this package before any other of the project, so these stamps are older than every
# module that this process has loaded.
_AT_START = {path: _stamp(path) for path in code_files()}


def edited_files(modules: Mapping[str, Path]) -> list[str]:
    """Return the files of modules that changed since this process began."""
    return sorted(path for path in map(str, modules.values()) if path in _AT_START and _AT_START[path] != _stamp(path))


def source_digest(source: bytes, path: str = "<source>") -> str:
    """Return a digest of Python code that comments, docstrings and formatting leave as it is.

    Raises
    ------
    ProjectError
        The source does not parse; the message names `path` and the line.
    """
    return _tree_digest(_tree(source, path))


def _tree_digest(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _tree(source: bytes, path: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ProjectError(f"{path}: not valid Python ({error})") from error


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        node.body = node.body[1:]


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every dotted name that the code may import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield base
            # `from package import module` names a module that only the file system can tell.
            yield from (f"{base}.{alias.name}" for alias in node.names)  # a star stands for whatever there is


# What is found depends on the finder, too: this package, as it was loaded, and the version of Python's parser.
_FINDER = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))


@functools.cache
def _known_sources() -> Memory:
    """What was found in a source before, by its bytes: parsing is what takes the time."""
    return Memory(home() / f"sources-{platform.python_version()}-{_FINDER.hexdigest()[:12]}.json")


@functools.cache
def _digests() -> DigestMemory:
    """Spares reading a file that is provably the same as before."""
    return DigestMemory(home() / "sources.json")


def look_at(module: str, path: Path) -> Source:
    """Return what there is to know about the source of a module, parsing it only if its bytes are new.

    Raises
    ------
    ProjectError
        It does not parse.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    known = _known_sources()
    sha = _digests()(path)
    key = sha + package
    found = known.get(key)
    if found is None:
        source = path.read_bytes()
        sha = hashlib.sha256(source).hexdigest()  # it may have changed since
        key = sha + package
        tree = _tree(source, str(path))
        imports = sorted(set(_imported(tree, package)))
        found = _tree_digest(tree), imports
        known.note(key, found)
    return Source(sha, *found)


def save_sources() -> None:
    """Remember for other processes what was found."""
    _digests().save()
    _known_sources().save()


# By real path: digests of the bytes and of the code that this process promised to run, and of the bytes that it loaded.
_promised: dict[str, tuple[str, str]] = {}
_loaded: dict[str, str] = {}


def promise(modules: Mapping[str, Path], sources: Mapping[str, Source]) -> None:
    """Note that these modules, whenever they are loaded, must be what their sources were when they were looked at.

    Raises
    ------
    ProjectError
        One was loaded already, and edited since.
    """
    edited = set(edited_files(modules))
    for module, path in modules.items():
        source, real = sources[module], os.path.realpath(path)
        promised = source.sha256, source.digest
        if _loaded.get(real, source.sha256) != source.sha256 or _promised.setdefault(real, promised) != promised:
            edited.add(str(path))
    if edited:
        raise ProjectError(f"edited while it was being loaded, start the build again: {sorted(edited)}")


def is_promised(path: str) -> bool:
    """Say whether a file is a source that the manifests of this process's methods hold."""
    return os.path.realpath(path) in _promised


def check_loaded(path: str, source: bytes) -> None:
    """Make sure that a source that is about to be loaded is the one that was promised, but for its comments.

    Raises
    ------
    ProjectError
        It was edited in between.
    """
    real, sha = os.path.realpath(path), hashlib.sha256(source).hexdigest()
    _loaded[real] = sha
    promised, digest = _promised.get(real, (sha, ""))
    if promised != sha and digest != source_digest(source, path):
        raise ProjectError(f"{path}: edited since the build began; start it again")
